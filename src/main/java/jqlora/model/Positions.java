package jqlora.model;

/** How a model knows where a token stands. */
public sealed interface Positions {
    /** How many positions the model was made for. */
    int count();

    /** Queries and keys turn. */
    record Rotary(RopeSpec rope) implements Positions {
        @Override
        public int count() {
            return rope.maxPositionEmbeddings();
        }
    }

    /**
     * A row of a table is added to the embedding; there are no positions beyond it.
     *
     * @param table name of the module
     * @param offset row of position 0
     */
    record Learned(String table, int count, int offset) implements Positions {
        int rows() {
            return count + offset;
        }
    }

    /** Scores fall with the distance. @param max greatest exponent of the slopes, see {@link jqlora.ops.AttentionShape#slope} */
    record Alibi(int count, float max) implements Positions { }
}
