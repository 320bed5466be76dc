package jqlora;

/** Euclidean distances of tensors, in double. */
public final class Distance {
    private Distance() { }

    /** @throws IllegalArgumentException if they are not equally long */
    public static double of(float[] a, float[] b) {
        if (a.length != b.length) {
            throw new IllegalArgumentException("Distance: " + a.length + " and " + b.length + " elements");
        }
        double sum = 0;
        for (int i = 0; i < a.length; i++) {
            double difference = (double) a[i] - b[i];
            sum += difference * difference;
        }
        return Math.sqrt(sum);
    }

    public static double length(float[] a) {
        return of(a, new float[a.length]);
    }
}
