package jqlora.ops;

import java.util.Random;
import java.util.function.DoubleBinaryOperator;
import java.util.function.DoubleUnaryOperator;
import jqlora.tensor.DType;
import jqlora.tensor.FloatConversion;
import jqlora.tensor.ShapeException;
import jqlora.tensor.Shape;

/** A matrix of doubles, row-major, for the reference operations: every operation gives a new one, except {@link #set} and {@link #add}. */
public final class Matrix {
    private final int rows;
    private final int columns;
    private final double[] values;

    private Matrix(int rows, int columns, double[] values) {
        this.rows = rows;
        this.columns = columns;
        this.values = values;
    }

    public static Matrix zeros(int rows, int columns) {
        return new Matrix(rows, columns, new double[rows * columns]);
    }

    public static Matrix filled(int rows, int columns, double value) {
        return zeros(rows, columns).map(old -> value);
    }

    /** One row. */
    public static Matrix row(double... values) {
        return new Matrix(1, values.length, values.clone());
    }

    public static Matrix of(int rows, int columns, float[] values) {
        Matrix matrix = zeros(rows, columns);
        for (int i = 0; i < matrix.values.length; i++) {
            matrix.values[i] = values[i];
        }
        return matrix;
    }

    /** Normally distributed, mean 0, deviation 1. */
    public static Matrix random(Random random, int rows, int columns) {
        return zeros(rows, columns).map(old -> random.nextGaussian());
    }

    public int rows() {
        return rows;
    }

    public int columns() {
        return columns;
    }

    public double get(int row, int column) {
        return values[row * columns + column];
    }

    public void set(int row, int column, double value) {
        values[row * columns + column] = value;
    }

    public void add(int row, int column, double value) {
        values[row * columns + column] += value;
    }

    /** A copy of the elements. */
    public double[] toArray() {
        return values.clone();
    }

    /** The elements as floats. */
    public float[] toFloats() {
        float[] floats = new float[values.length];
        for (int i = 0; i < floats.length; i++) {
            floats[i] = (float) values[i];
        }
        return floats;
    }

    public Matrix map(DoubleUnaryOperator operator) {
        Matrix result = zeros(rows, columns);
        for (int i = 0; i < values.length; i++) {
            result.values[i] = operator.applyAsDouble(values[i]);
        }
        return result;
    }

    public Matrix absolute() {
        return map(Math::abs);
    }

    private Matrix combine(Matrix other, DoubleBinaryOperator operator) {
        ShapeException.require("matrix", Shape.of(other.rows, other.columns), Shape.of(rows, columns));
        Matrix result = zeros(rows, columns);
        for (int i = 0; i < values.length; i++) {
            result.values[i] = operator.applyAsDouble(values[i], other.values[i]);
        }
        return result;
    }

    public Matrix plus(Matrix other) {
        return combine(other, Double::sum);
    }

    public Matrix scaled(double factor) {
        return map(value -> value * factor);
    }

    /** The product element by element. */
    public Matrix masked(Matrix mask) {
        return combine(mask, (a, b) -> a * b);
    }

    /** The quotient element by element; 0 / 0 is 0. */
    public Matrix dividedBy(Matrix other) {
        return combine(other, (a, b) -> a == 0 && b == 0 ? 0 : a / b);
    }

    public Matrix times(Matrix other) {
        ShapeException.require("matrix product", Shape.of(other.rows), Shape.of(columns));
        Matrix product = zeros(rows, other.columns);
        for (int i = 0; i < rows; i++) {
            for (int k = 0; k < columns; k++) {
                double factor = values[i * columns + k];
                for (int j = 0; j < other.columns; j++) {
                    product.values[i * other.columns + j] += factor * other.values[k * other.columns + j];
                }
            }
        }
        return product;
    }

    public Matrix transposed() {
        Matrix result = zeros(columns, rows);
        for (int i = 0; i < rows; i++) {
            for (int j = 0; j < columns; j++) {
                result.values[j * rows + i] = values[i * columns + j];
            }
        }
        return result;
    }

    /** Columns {@code from} ... {@code from + count - 1}. */
    public Matrix columns(int from, int count) {
        Matrix part = zeros(rows, count);
        for (int row = 0; row < rows; row++) {
            System.arraycopy(values, row * columns + from, part.values, row * count, count);
        }
        return part;
    }

    /** Rows {@code from} ... {@code from + count - 1}. */
    public Matrix rows(int from, int count) {
        Matrix part = zeros(count, columns);
        System.arraycopy(values, from * columns, part.values, 0, count * columns);
        return part;
    }

    /** Overwrites the rows and columns from {@code row} and {@code column} on. */
    public void put(int row, int column, Matrix part) {
        for (int i = 0; i < part.rows; i++) {
            System.arraycopy(part.values, i * part.columns, values, (row + i) * columns + column, part.columns);
        }
    }

    /** One row, the sums of the columns. */
    public Matrix columnSums() {
        return filled(1, rows, 1).times(this);
    }

    /** The sum of the products element by element. */
    public double dot(Matrix other) {
        double sum = 0;
        for (double value : masked(other).values) {
            sum += value;
        }
        return sum;
    }

    public double largestMagnitude() {
        double largest = 0;
        for (double value : values) {
            largest = Math.max(largest, Math.abs(value));
        }
        return largest;
    }

    /** Every element rounded to the nearest value of {@code dtype}. */
    public Matrix rounded(DType dtype) {
        return map(value -> FloatConversion.round((float) value, dtype));
    }

    /** Such as {@code [2, 3]}. */
    @Override
    public String toString() {
        return "[" + rows + ", " + columns + "]";
    }
}
