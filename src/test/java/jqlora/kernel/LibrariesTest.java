package jqlora.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.List;
import org.junit.jupiter.api.Test;

class LibrariesTest {
    private final Libraries libraries = new Libraries();

    @Test
    void aPomNamesWhatItNeeds() throws IOException {
        assertEquals(List.of("a:b:1.0"), libraries.ofPom("<dependency><groupId>a</groupId><artifactId>b</artifactId><version>1.0</version></dependency>"));
        String whole = "<project><version>7</version><properties><b.version>2.5</b.version></properties><dependencies>"
                + "<dependency><groupId>a</groupId><artifactId>b</artifactId><version>${b.version}</version><classifier>linux</classifier></dependency>"
                + "<dependency><groupId>a</groupId><artifactId>c</artifactId><version>${project.version}</version></dependency>"
                + "<dependency><groupId>a</groupId><artifactId>t</artifactId><version>1</version><scope>test</scope></dependency></dependencies></project>";
        assertEquals(List.of("a:b:jar:linux:2.5", "a:c:7"), libraries.ofPom(whole));
        assertTrue(assertThrows(IOException.class, () -> libraries.ofPom("<dependency><groupId>a</dependency>")).getMessage().startsWith("the POM cannot be read: "));
        assertEquals("a:b has no version in this POM; write it there, or use %maven with it",
                assertThrows(IllegalArgumentException.class, () -> libraries.ofPom("<dependency><groupId>a</groupId><artifactId>b</artifactId></dependency>")).getMessage());
    }

    @Test
    void whatIsNoCoordinateIsRefused() {
        assertTrue(assertThrows(IllegalArgumentException.class, () -> libraries.resolve(List.of("gson"))).getMessage().contains("is not group:artifact:version, such as"));
    }
}
