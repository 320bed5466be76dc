package jqlora.notebook;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.DataType;
import java.util.ArrayList;
import java.util.List;

/** A DJL array: shape, type and device, its least, mean and greatest value, and the first few. Values of 16-bit floats stay unread. */
record ArrayView(NDArray array) implements Displayable {
    private static final int FIRST_VALUES = 8;

    @Override
    public String text() {
        return String.join("\n", lines());
    }

    @Override
    public String html() {
        return "<pre>" + Html.escape(text()) + "</pre>";
    }

    private List<String> lines() {
        List<String> lines = new ArrayList<>();
        if (array.isReleased()) {
            return List.of("NDArray, closed");
        }
        lines.add("NDArray " + array.getShape() + " " + array.getDataType() + " on " + array.getDevice());
        DataType type = array.getDataType();
        boolean readable = type == DataType.FLOAT32 || type == DataType.FLOAT64 || type == DataType.INT32 || type == DataType.INT64
                || type == DataType.UINT8 || type == DataType.INT8;
        if (readable && array.size() > 0) {
            try (NDArray numbers = array.toType(DataType.FLOAT64, true); NDArray flat = numbers.flatten()) {
                lines.add("min " + ShortNumber.of(scalar(flat.min())) + ", mean " + ShortNumber.of(scalar(flat.mean()))
                        + ", max " + ShortNumber.of(scalar(flat.max())));
                lines.add(first(flat));
            }
        }
        return lines;
    }

    private static String first(NDArray flat) {
        try (NDArray head = flat.get("0:" + Math.min(FIRST_VALUES, flat.size()))) {
            List<String> shown = new ArrayList<>();
            for (double value : head.toDoubleArray()) {
                shown.add(ShortNumber.of(value));
            }
            return "[" + String.join(", ", shown) + (flat.size() > FIRST_VALUES ? ", ...]" : "]");
        }
    }

    private static double scalar(NDArray value) {
        try (value) {
            return value.getDouble();
        }
    }
}
