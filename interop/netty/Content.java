import java.util.Arrays;

/** What conversations carry; the same as in ../content.go. */
final class Content {
    static final int BIG_BODY = 10 << 20;
    static final int WINDOW_BODY = 1 << 20;
    static final int SMALL_BODY = 20000;
    static final int CUT_BODY = 10000;
    static final int MANY_STREAMS = 200;
    static final String BIG_HEADER = bigHeader();

    private Content() {}

    static byte[] pattern(int n) {
        byte[] p = new byte[n];
        for (int i = 0; i < n; i++) {
            p[i] = (byte) (7 * i + (i >> 9));
        }
        return p;
    }

    private static String bigHeader() {
        StringBuilder b = new StringBuilder();
        for (long i = 0; b.length() < 20 << 10; i++) {
            b.append("abcdefghijklmnopqrstuvwxyz0123456789".charAt((int) ((i * i * 31 + (i >> 3)) % 36)));
        }
        return b.toString();
    }

    static void check(boolean ok, String why) throws Exception {
        if (!ok) {
            throw new Exception(why);
        }
    }

    static void checkBody(byte[] got, byte[] want) throws Exception {
        check(Arrays.equals(got, want), got.length + " bytes came, not the " + want.length + " expected");
    }
}
