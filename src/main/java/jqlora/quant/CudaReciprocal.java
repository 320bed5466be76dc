package jqlora.quant;

/**
 * The reciprocal as an NVIDIA GPU's {@code rcp.approx.ftz.f32} gives it. bitsandbytes is compiled with fast arithmetic, so it scales a block by this
 * and not by the nearest float; where a weight lies on a threshold of the code, the difference of one unit in the last place decides.
 *
 * <p>The unit interpolates: the first 7 bits of the mantissa choose three coefficients, the other 16 are u in {@code c0 + c1 u + c2 u^2}, where the
 * square leaves out its partial products below bit 17. Coefficients and constants were found by fitting this form (Oberman and Siu's) to the
 * results of an H200; it gives the bits of all 2^23 mantissas, for every exponent.
 *
 * @see <a href="https://doi.org/10.1109/ARITH.2005.7">Oberman and Siu, A high-performance area-efficient multifunction interpolator (ARITH 2005)</a>
 */
final class CudaReciprocal {
    private static final int SEGMENT_BITS = 16;
    /** What is added before the last bits are cut off, in units of 2^-32: half a unit, and a little for what the square left out. */
    private static final long ROUNDING = 18407L << 17;
    /** Partial products of the square below this bit are left out. */
    private static final int LOWEST_PRODUCT = 17;
    /** For each segment c0 in quarters, minus c1 in halves (17 bits) and c2 (10 bits). */
    private static final long[] COEFFICIENTS = {
            0x1ffffff3fffbf5L, 0x1fc07f03f02bddL, 0x1f81f823e0b7c6L, 0x1f44659bd19fb1L, 0x1f07c1e3c2db9bL, 0x1ecc07b3b46f86L,
            0x1e9131b3a65773L, 0x1e573ac3988b5fL, 0x1e1e1e138b0f4dL, 0x1de5d6e37ddf3bL, 0x1dae607b70f729L, 0x1d77b64b645317L,
            0x1d41d41b57f706L, 0x1d0cb5934bdef6L, 0x1cd8568b4006e6L, 0x1ca4b303346ed7L, 0x1c71c71b2912c7L, 0x1c3f8f031df2b8L,
            0x1c0e0703130eaaL, 0x1bdd2b8308629dL, 0x1bacf90afdee90L, 0x1b7d6c3af3ae82L, 0x1b4e81aae9a677L, 0x1b203642dfce6aL,
            0x1af286bad6265dL, 0x1ac57022ccb252L, 0x1a98ef62c36a46L, 0x1a6d01a2ba523cL, 0x1a41a422b16631L, 0x1a16d3faa8a225L,
            0x19ec8e9aa00e1cL, 0x19c2d14a979e11L, 0x1999999a8f5a07L, 0x1970e4fa873dfeL, 0x1948b0f27f45f5L, 0x1920fb4a7771eaL,
            0x18f9c18a6fc5e2L, 0x18d30192683ddaL, 0x18acb91260d5d1L, 0x1886e5fa5991c9L, 0x1861861a526dc1L, 0x183c977a4b69b9L,
            0x1818181a4485b1L, 0x17f406023dc1aaL, 0x17d05f423719a2L, 0x17ad220a30919cL, 0x178a4c822a2193L, 0x1767dce223d18dL,
            0x1745d17a1d9d86L, 0x1724287a17817fL, 0x1702e052118179L, 0x16e1f7720b9d73L, 0x16c16c1a05d16eL, 0x16a13cd2001966L,
            0x16816811fa7d61L, 0x1661ec61f4f95cL, 0x1642c859ef8955L, 0x1623fa81ea3551L, 0x16058161e4f14bL, 0x15e75bb1dfc546L,
            0x15c98829daad40L, 0x15ac0571d5ad3cL, 0x158ed239d0bd36L, 0x1571ed39cbe131L, 0x15555551c71d2eL, 0x15390951c26929L,
            0x151d07f1bdc523L, 0x15015011b9351fL, 0x14e5e0a9b4b91bL, 0x14cab881b04d17L, 0x14afd6a1abf112L, 0x149539e9a7a90fL,
            0x147ae149a36d0aL, 0x1460cbc99f4507L, 0x1446f8619b2902L, 0x142d6621972100L, 0x141414199324fbL, 0x13fb01418f38f8L,
            0x13e22cc18b58f3L, 0x13c995a18788f0L, 0x13b13b1183c8edL, 0x13991c318014e9L, 0x138138197c70e7L, 0x13698df978d4e2L,
            0x13521cf97548dfL, 0x133ae45971ccdeL, 0x1323e3496e58daL, 0x130d19016af0d6L, 0x12f684c16798d4L, 0x12e025c96448d0L,
            0x12c9fb496104cdL, 0x12b404b15dd0ccL, 0x129e41295aa0c7L, 0x1288b0115780c5L, 0x127350b9546cc4L, 0x125e22715160c1L,
            0x124924914e5cbdL, 0x123456794b64baL, 0x121fb7894878b8L, 0x120b47094594b6L, 0x11f7048142bcb4L, 0x11e2ef393fecb2L,
            0x11cf06a93d24afL, 0x11bb4a413a68adL, 0x11a7b96137b4abL, 0x119453793508a9L, 0x118118113264a6L, 0x116e06892fcca5L,
            0x115b1e612d38a1L, 0x11485f112ab0a0L, 0x1135c81128309fL, 0x112358e925b49bL, 0x1111111123449aL, 0x10fef01120dc99L,
            0x10ecf5691e7896L, 0x10db20b11c2095L, 0x10c9715119cc93L, 0x10b7e6e9178091L, 0x10a68111153c8fL, 0x10953f3113008fL,
            0x1084210910c88cL, 0x107326110e988aL, 0x10624dd90c7089L, 0x105197f90a4c87L, 0x10410411083085L, 0x103091b9061c84L,
            0x10204079040c83L, 0x10101009020482L
    };

    private CudaReciprocal() { }

    /** 1 / {@code x} for x at least 0; infinity below the normal range, 0 where the result would be below it. */
    static float of(float x) {
        if (!(x >= Float.MIN_NORMAL)) {
            return Float.isNaN(x) ? Float.NaN : Float.POSITIVE_INFINITY;
        }
        if (x == Float.POSITIVE_INFINITY) {
            return 0f;
        }
        int bits = Float.floatToRawIntBits(x), mantissa = bits & 0x7fffff;
        long coefficients = COEFFICIENTS[mantissa >>> SEGMENT_BITS];
        long u = mantissa & (1 << SEGMENT_BITS) - 1;
        long c0 = coefficients >>> 27, minusC1 = coefficients >>> 10 & 0x1ffff, c2 = coefficients & 0x3ff;
        // 2^24 / (1.mantissa), between 2^23 and 2^24
        long result = (c0 << 30) - (minusC1 * u << 17) + c2 * square(u) + ROUNDING >> 32;
        int exponent = 253 - (bits >>> 23);                       // of a result below 1, biased
        if (result == 1L << 24) {
            exponent++;
            result = 1L << 23;
        }
        return exponent < 1 ? 0f : Float.intBitsToFloat(exponent << 23 | (int) result & 0x7fffff);
    }

    private static long square(long u) {
        long left = 0;
        for (int i = 0; 2 * i < LOWEST_PRODUCT; i++) {
            if ((u >>> i & 1) != 0) {
                long higherBits = u >>> i + 1 << i + 1 & (1L << LOWEST_PRODUCT - 1 - i) - 1;
                left += (1L << 2 * i) + (higherBits << i + 1);
            }
        }
        return u * u - left;
    }
}
