package jqlora.notebook;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.DataType;
import java.util.ArrayList;
import java.util.List;
import jqlora.tensor.TensorView;

/** An array: shape, type and place, its least, mean and greatest value, and a corner of the values. */
record ArrayView(List<String> lines) implements Displayable {
    private static final long MOST_SCANNED = 1L << 24;

    @Override
    public String text() {
        return String.join("\n", lines);
    }

    @Override
    public String html() {
        return "<pre style=\"overflow-x:auto\">" + Html.escape(text()) + "</pre>";
    }

    /** A DJL array. The values of 16-bit floats stay unread. */
    static ArrayView of(NDArray array) {
        List<String> lines = new ArrayList<>();
        if (array.isReleased()) {
            return new ArrayView(List.of("NDArray, closed"));
        }
        lines.add("NDArray " + array.getShape() + " " + array.getDataType() + " on " + array.getDevice());
        DataType type = array.getDataType();
        boolean readable = type == DataType.FLOAT32 || type == DataType.FLOAT64 || type == DataType.INT32 || type == DataType.INT64
                || type == DataType.UINT8 || type == DataType.INT8 || type == DataType.BOOLEAN;
        if (readable && array.size() > 0) {
            try (NDArray numbers = array.toType(DataType.FLOAT64, true); NDArray flat = numbers.flatten()) {
                if (type != DataType.BOOLEAN) {
                    lines.add(range(scalar(flat.min()), scalar(flat.mean()), scalar(flat.max())));
                }
                lines.addAll(Corner.lines(array.getShape().getShape(), flat::getDouble));
            }
        }
        return new ArrayView(lines);
    }

    /** A tensor in the host's memory, such as one of a file. */
    static ArrayView of(TensorView tensor) {
        List<String> lines = new ArrayList<>();
        lines.add(tensor.dtype() + " " + tensor.shape() + ", " + ShortNumber.bytes(tensor.data().byteSize()));
        long size = tensor.shape().size();
        if (size > 0 && size <= MOST_SCANNED) {
            double[] values = values(tensor);
            if (values.length > 0) {
                double least = Double.POSITIVE_INFINITY, most = Double.NEGATIVE_INFINITY, sum = 0;
                for (double value : values) {
                    least = Math.min(least, value);
                    most = Math.max(most, value);
                    sum += value;
                }
                lines.add(range(least, sum / values.length, most));
                lines.addAll(Corner.lines(tensor.shape().toArray(), i -> values[(int) i]));
            }
        }
        return new ArrayView(lines);
    }

    /** The numbers of {@code tensor}; none for types that are codes and not numbers. */
    private static double[] values(TensorView tensor) {
        return switch (tensor.dtype()) {
            case F32, F16, BF16, F64 -> doubles(tensor.toFloats());
            case I64, I32, U8, BOOL -> {
                int[] ints = tensor.toInts();
                double[] doubles = new double[ints.length];
                for (int i = 0; i < ints.length; i++) {
                    doubles[i] = ints[i];
                }
                yield doubles;
            }
            default -> new double[0];
        };
    }

    private static double[] doubles(float[] floats) {
        double[] doubles = new double[floats.length];
        for (int i = 0; i < floats.length; i++) {
            doubles[i] = floats[i];
        }
        return doubles;
    }

    private static String range(double least, double mean, double most) {
        return "min " + ShortNumber.of(least) + ", mean " + ShortNumber.of(mean) + ", max " + ShortNumber.of(most);
    }

    private static double scalar(NDArray value) {
        try (value) {
            return value.toType(DataType.FLOAT64, false).getDouble();
        }
    }
}
