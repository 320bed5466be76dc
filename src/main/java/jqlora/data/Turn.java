package jqlora.data;

/** An instruction of an earlier turn of a talk, and the answer that it got. */
public record Turn(String instruction, String answer) { }
