package jqlora.format;

/** Hears how a download goes on. */
public interface DownloadListener {
    /**
     * More of a file has arrived. The first call of a file tells what an earlier download had left.
     *
     * @param file its name in the repository
     * @param bytes there so far
     * @param totalBytes bytes of the file, or -1 if the server does not say
     */
    void progress(String file, long bytes, long totalBytes);

    /** The Hub did not answer, so the cached model is taken, which may be an older one; {@code reason} says what happened. */
    void cacheUsed(String reason);

    /** Hears nothing. */
    static DownloadListener none() {
        return new DownloadListener() {
            @Override
            public void progress(String file, long bytes, long totalBytes) { }

            @Override
            public void cacheUsed(String reason) { }
        };
    }
}
