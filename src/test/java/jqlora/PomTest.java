package jqlora;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.IntStream;
import javax.xml.parsers.DocumentBuilderFactory;
import javax.xml.xpath.XPath;
import javax.xml.xpath.XPathConstants;
import javax.xml.xpath.XPathFactory;
import org.junit.jupiter.api.Test;
import org.w3c.dom.Document;
import org.w3c.dom.Node;
import org.w3c.dom.NodeList;

/** What {@code pom.xml} promises to a project that depends on this one, and to Maven Central. */
class PomTest {
    private static final XPath PATHS = XPathFactory.newInstance().newXPath();

    private final Document pom;

    PomTest() throws Exception {
        pom = DocumentBuilderFactory.newInstance().newDocumentBuilder().parse(Path.of("pom.xml").toFile());
    }

    private List<Node> nodes(String path) throws Exception {
        NodeList found = (NodeList) PATHS.evaluate(path, pom, XPathConstants.NODESET);
        return IntStream.range(0, found.getLength()).mapToObj(found::item).toList();
    }

    private static String text(Node node, String path) throws Exception {
        return PATHS.evaluate(path, node).strip();
    }

    /** An application chooses its logging provider; PyTorch's libraries are large, and the processor's backend rarely needs them. */
    @Test
    void whoUsesTheLibraryIsNotGivenALoggingProviderOrPyTorchsLibraries() throws Exception {
        Set<String> optional = new TreeSet<>();
        for (Node dependency : nodes("/project/dependencies/dependency[optional='true']")) {
            assertEquals("runtime", text(dependency, "scope"), text(dependency, "artifactId") + ": our own programs run with it, none is compiled with it");
            optional.add(text(dependency, "artifactId"));
        }
        assertEquals(Set.of("slf4j-simple", "pytorch-jni", "pytorch-native-cpu"), optional);
    }

    /** Another of these, added later, must not slip through. */
    @Test
    void noOtherProviderOrLibraryOfPyTorchIsForced() throws Exception {
        for (Node dependency : nodes("/project/dependencies/dependency[not(optional='true') and not(scope='test')]")) {
            String name = text(dependency, "artifactId");
            assertFalse(name.startsWith("pytorch-native") || name.startsWith("pytorch-jni"), name + " must be optional");
            assertFalse(name.matches("slf4j-(?!api).*|logback-.*|log4j-.*"), name + " is a logging provider, it must be optional");
        }
    }

    /** Who copies them from the README must get what this version was tested with. */
    @Test
    void theReadmesNameTheseVersions() throws Exception {
        String jni = text(pom, "/project/properties/pytorch.version") + "-" + text(pom, "/project/properties/djl.version");
        for (String page : new String[] {"README.md", "README.zh-CN.md"}) {
            String said = Files.readString(Path.of(page));
            for (String expected : new String[] {"<version>" + text(pom, "/project/version") + "</version>", "ai.djl.pytorch:pytorch-jni:" + jni + "`",
                    "ai.djl.pytorch:pytorch-native-cpu:" + text(pom, "/project/properties/pytorch.version") + "`"}) {
                assertTrue(said.contains(expected), page + " does not name " + expected);
            }
        }
    }

    @Test
    void mavenCentralIsToldWhatItAsksFor() throws Exception {
        List<String> missing = new ArrayList<>();
        for (String path : new String[] {"name", "description", "url", "licenses/license/name", "licenses/license/url", "developers/developer/name",
                "scm/connection", "scm/developerConnection", "scm/url"}) {
            if (text(pom, "/project/" + path).isEmpty()) {
                missing.add(path);
            }
        }
        assertEquals(List.of(), missing);
    }

    /** A build must be the same next year: each plugin has a version, here or where the main build names it. */
    @Test
    void pluginsHaveVersions() throws Exception {
        Set<String> pinned = new TreeSet<>(), unpinned = new TreeSet<>();
        for (Node plugin : nodes("//plugin")) {
            (text(plugin, "version").isEmpty() ? unpinned : pinned).add(text(plugin, "artifactId"));
        }
        unpinned.removeAll(pinned);
        assertEquals(Set.of(), unpinned);
    }
}
