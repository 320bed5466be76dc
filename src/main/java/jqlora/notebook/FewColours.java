package jqlora.notebook;

import java.awt.image.BufferedImage;
import java.awt.image.DataBuffer;
import java.awt.image.DataBufferByte;
import java.awt.image.IndexColorModel;
import java.util.Arrays;

/**
 * A chart as an image with a table of its colours: a byte a pixel, and a file of about half the size. A chart has few colours but
 * for the edges of its lines and letters: thousands, each in a few pixels, which take one that looks like them.
 */
final class FewColours {
    private static final int TABLE = 256, MOST = 8_192, CLOSE = 16, FREQUENT = 2_000;

    private int[] colours = new int[1 << 12], counts = new int[1 << 12];
    private int size;

    private FewColours() { }

    /**
     * {@code image} with at most 256 colours, of which the most frequent are exact, and others off by at most 16 of 255 where so many
     * are enough for that; {@code image} itself where it has so many colours that it is no chart.
     */
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
        int[] places = new int[size];
        for (int i = 0; i < size; i++) {
            places[i] = (int) byCount[size - 1 - i];
        }
        byte[] indexOf = new byte[colours.length];
        int[] palette = palette(places, Math.ceilDiv(pixels.length, FREQUENT), indexOf);
        BufferedImage image = new BufferedImage(width, height, BufferedImage.TYPE_BYTE_INDEXED,
                new IndexColorModel(8, palette.length, palette, 0, true, -1, DataBuffer.TYPE_BYTE));
        byte[] bytes = ((DataBufferByte) image.getRaster().getDataBuffer()).getData();
        for (int i = 0; i < pixels.length; i++) {
            bytes[i] = indexOf[place(pixels[i])];
        }
        return image;
    }

    /**
     * The table: the colours of {@code frequent} pixels and more; then, so that edges of every colour find one, the most frequent of
     * those that none is close to, again and again; then, where there is room, the most frequent that are left.
     *
     * @param places of all colours, the most frequent first
     * @param indexOf overwritten: at each place the colour of the table that is taken there
     */
    private int[] palette(int[] places, int frequent, byte[] indexOf) {
        int[] off = new int[size];                                // how far each colour is from the nearest one in the table
        Arrays.fill(off, Integer.MAX_VALUE);
        boolean[] taken = new boolean[size];
        int[] palette = new int[Math.min(TABLE, size)];
        int kept = 0;
        for (int within : new int[] {CLOSE, -1}) {
            for (int i = 0; i < size && kept < palette.length; i++) {
                if (!taken[i] && (off[i] > within || counts[places[i]] >= frequent)) {
                    taken[i] = true;
                    palette[kept] = colours[places[i]];
                    off[i] = 0;
                    indexOf[places[i]] = (byte) kept;             // exact, also where another one looks the same
                    approach(places, (byte) kept, palette[kept], off, indexOf);
                    kept++;
                }
            }
        }
        return palette;
    }

    private void approach(int[] places, byte index, int colour, int[] off, byte[] indexOf) {
        for (int i = 0; i < size; i++) {
            int difference = difference(colours[places[i]], colour);
            if (difference < off[i]) {
                off[i] = difference;
                indexOf[places[i]] = index;
            }
        }
    }

    /** The most by which a channel of what is seen differs, on a white page or on a black one: colours count as much as they cover. */
    private static int difference(int colour, int other) {
        int alpha = (colour >>> 24) - (other >>> 24), most = 0;
        for (int shift = 0; shift < 24; shift += 8) {
            int onBlack = covered(colour, shift) - covered(other, shift), onWhite = onBlack - alpha;
            most = Math.max(most, Math.max(Math.abs(onBlack), Math.abs(onWhite)));
        }
        return most;
    }

    private static int covered(int colour, int shift) {
        return (colour >>> shift & 0xff) * (colour >>> 24) / 255;
    }
}
