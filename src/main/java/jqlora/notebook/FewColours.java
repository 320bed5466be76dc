package jqlora.notebook;

import java.awt.image.BufferedImage;
import java.awt.image.DataBuffer;
import java.awt.image.DataBufferByte;
import java.awt.image.IndexColorModel;
import java.util.Arrays;

/**
 * A chart as an image with a table of its colours: a byte a pixel, and a file of about half the size. A chart has few colours but for the edges of its lines and letters,
 * which take the nearest one.
 */
final class FewColours {
    private static final int TABLE = 256, MOST = 8_192;

    private int[] colours = new int[1 << 12], counts = new int[1 << 12];
    private int size;

    private FewColours() { }

    /** {@code image} with at most 256 colours, of which the most frequent are exact; {@code image} itself where it has so many colours that it is no chart. */
    static BufferedImage of(BufferedImage image) {
        int width = image.getWidth(), height = image.getHeight();
        int[] pixels = image.getRGB(0, 0, width, height, null, 0, width);
        FewColours table = new FewColours();
        for (int pixel : pixels) {
            int at = table.place(pixel);
            if (table.counts[at]++ == 0) {
                table.colours[at] = pixel;
                if (++table.size > MOST) {
                    return image;
                }
                table.growWhenHalfFull();
            }
        }
        return table.indexed(pixels, width, height);
    }

    /** Where {@code colour} is, or would be. */
    private int place(int colour) {
        int mask = colours.length - 1, at = (colour * 0x9E3779B9 >>> 7) & mask;
        while (counts[at] != 0 && colours[at] != colour) {
            at = (at + 1) & mask;
        }
        return at;
    }

    private void growWhenHalfFull() {
        if (2 * size <= colours.length) {
            return;
        }
        int[] before = colours, beforeCounts = counts;
        colours = new int[2 * before.length];
        counts = new int[2 * before.length];
        for (int i = 0; i < before.length; i++) {
            if (beforeCounts[i] != 0) {
                int at = place(before[i]);
                colours[at] = before[i];
                counts[at] = beforeCounts[i];
            }
        }
    }

    private BufferedImage indexed(int[] pixels, int width, int height) {
        long[] byCount = new long[size];
        for (int i = 0, next = 0; i < colours.length; i++) {
            if (counts[i] != 0) {
                byCount[next++] = (long) counts[i] << 32 | i;
            }
        }
        Arrays.sort(byCount);                                     // the most frequent last
        int kept = Math.min(TABLE, size);
        int[] palette = new int[kept];
        for (int i = 0; i < kept; i++) {
            palette[i] = colours[(int) byCount[size - 1 - i]];
        }
        byte[] indexOf = new byte[colours.length];
        for (int i = 0; i < size; i++) {
            int at = (int) byCount[size - 1 - i];
            indexOf[at] = (byte) (i < kept ? i : nearest(colours[at], palette));
        }
        BufferedImage image = new BufferedImage(width, height, BufferedImage.TYPE_BYTE_INDEXED, new IndexColorModel(8, kept, palette, 0, true, -1, DataBuffer.TYPE_BYTE));
        byte[] bytes = ((DataBufferByte) image.getRaster().getDataBuffer()).getData();
        for (int i = 0; i < pixels.length; i++) {
            bytes[i] = indexOf[place(pixels[i])];
        }
        return image;
    }

    /** By what is seen on a white page and on a black one: colours count as much as they cover. */
    private static int nearest(int colour, int[] palette) {
        int best = 0;
        long least = Long.MAX_VALUE;
        for (int i = 0; i < palette.length; i++) {
            long alpha = (colour >>> 24) - (palette[i] >>> 24), distance = 3 * alpha * alpha;
            for (int shift = 0; shift < 24; shift += 8) {
                long difference = covered(colour, shift) - covered(palette[i], shift);
                distance += difference * difference;
            }
            if (distance < least) {
                least = distance;
                best = i;
            }
        }
        return best;
    }

    private static int covered(int colour, int shift) {
        return (colour >>> shift & 0xff) * (colour >>> 24) / 255;
    }
}
