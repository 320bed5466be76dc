package jqlora.kernel;

import java.util.ArrayDeque;
import java.util.Queue;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Consumer;
import org.dflib.jjava.jupyter.messages.Message;

/**
 * Messages on their way to the front end, sent by a thread of their own: never by the one that runs a cell, whose interrupt would
 * break a message off half way. They leave in order, and slowly enough that neither the server nor a client drops any.
 */
final class Outbox {
    private static final int MESSAGE_OVERHEAD_BYTES = 600;
    private static final long MAX_WAITING_BYTES = 4_000_000L;

    private final Consumer<Message<?>> wire;
    private final Queue<Letter> waiting = new ArrayDeque<>();
    private final Pace messages = new Pace(600, 1_000, System.nanoTime());
    private final Pace bytes = new Pace(700_000, 800_000, System.nanoTime());
    private long waitingBytes;
    private long put;
    private long sent;

    private record Letter(Message<?> message, long size) { }

    /** @param wire sends a message; called by one thread at a time */
    Outbox(Consumer<Message<?>> wire) {
        this.wire = wire;
        Thread.ofPlatform().daemon().name("notebook-outbox").start(this::send);
    }

    /** Takes {@code message}, of about {@code size} bytes. Whoever puts in faster than is sent waits, unless its thread is interrupted. */
    synchronized void put(Message<?> message, long size) {
        waiting.add(new Letter(message, size));
        waitingBytes += size;
        put++;
        notifyAll();
        try {
            while (waitingBytes > MAX_WAITING_BYTES && !Thread.currentThread().isInterrupted()) {
                wait();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();                   // the message is kept all the same
        }
    }

    /** Waits until everything that has been put in by now is sent. */
    synchronized void awaitSent() {
        boolean interrupted = false;
        for (long until = put; sent < until; ) {
            try {
                wait();
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private synchronized Letter next() throws InterruptedException {
        while (waiting.isEmpty()) {
            wait();
        }
        return waiting.remove();
    }

    private void send() {
        try {
            while (true) {
                Letter letter = next();
                try {
                    wire.accept(letter.message);
                } catch (RuntimeException closing) {
                    // the connection is being taken down; nobody will read this
                } finally {
                    done(letter);
                }
                pause(letter.size);
            }
        } catch (InterruptedException end) {
            Thread.currentThread().interrupt();
        }
    }

    private synchronized void done(Letter letter) {
        waitingBytes -= letter.size;
        sent++;
        notifyAll();
    }

    private void pause(long size) {
        long now = System.nanoTime();
        long wait = Math.max(messages.spend(1, now), bytes.spend(size * 1.1 + MESSAGE_OVERHEAD_BYTES, now));
        for (long until = now + wait; System.nanoTime() < until; ) {
            LockSupport.parkNanos(until - System.nanoTime());
        }
    }
}
