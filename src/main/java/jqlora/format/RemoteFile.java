package jqlora.format;

import java.net.URI;

/**
 * A file on the Hub.
 *
 * @param name its path in the repository
 * @param uri its address on the endpoint
 * @param etag names its content; of a large file the SHA-256, 64 hexadecimal digits
 * @param size bytes, or -1 if the server does not say
 */
record RemoteFile(String name, URI uri, String etag, long size) {
    boolean hasSha256() {
        return etag.matches("[0-9a-f]{64}");
    }
}
