package jqlora.kernel;

import eu.maveniverse.maven.mima.context.Context;
import eu.maveniverse.maven.mima.context.ContextOverrides;
import eu.maveniverse.maven.mima.context.Runtimes;
import java.io.IOException;
import java.io.StringReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.maven.model.Dependency;
import org.apache.maven.model.Model;
import org.apache.maven.model.io.xpp3.MavenXpp3Reader;
import org.codehaus.plexus.util.xml.pull.XmlPullParserException;
import org.eclipse.aether.artifact.DefaultArtifact;
import org.eclipse.aether.collection.CollectRequest;
import org.eclipse.aether.repository.RemoteRepository;
import org.eclipse.aether.resolution.ArtifactResult;
import org.eclipse.aether.resolution.DependencyRequest;
import org.eclipse.aether.resolution.DependencyResolutionException;

/** Libraries by their Maven coordinates, with all that they need, from the user's own Maven repository and settings. */
final class Libraries {
    private static final Pattern PROPERTY = Pattern.compile("\\$\\{([^}]+)}");

    private final List<RemoteRepository> repositories = new ArrayList<>();

    /** Asks the repository at {@code url} too, from now on. */
    void addRepository(String name, String url) {
        repositories.removeIf(one -> one.getId().equals(name));
        repositories.add(new RemoteRepository.Builder(name, "default", url).build());
    }

    /**
     * The jars of {@code coordinates} and of what they depend on.
     *
     * @param coordinates {@code group:artifact:version}, or {@code group:artifact:type:version} and {@code group:artifact:type:classifier:version}
     * @throws IOException              naming what cannot be had, and where it was looked for
     * @throws IllegalArgumentException if {@code coordinates} are none
     */
    List<Path> resolve(List<String> coordinates) throws IOException {
        List<org.eclipse.aether.graph.Dependency> wanted = new ArrayList<>();
        for (String one : coordinates) {
            if (!one.matches("[^:\\s]+(:[^:\\s]+){2,4}")) {
                throw new IllegalArgumentException("\"" + one + "\" is not group:artifact:version, such as org.apache.commons:commons-csv:1.14.1");
            }
            wanted.add(new org.eclipse.aether.graph.Dependency(new DefaultArtifact(one), "runtime"));
        }
        try (Context maven = Runtimes.INSTANCE.getRuntime().create(ContextOverrides.create().withUserSettings(true).build())) {
            List<RemoteRepository> all = new ArrayList<>(maven.remoteRepositories());
            all.addAll(maven.repositorySystem().newResolutionRepositories(maven.repositorySystemSession(), repositories));
            CollectRequest collect = new CollectRequest(wanted, List.of(), all);
            return maven.repositorySystem().resolveDependencies(maven.repositorySystemSession(), new DependencyRequest(collect, null)).getArtifactResults().stream()
                    .map(ArtifactResult::getArtifact).map(artifact -> artifact.getFile().toPath()).toList();
        } catch (DependencyResolutionException unresolved) {
            throw new IOException(unresolved.getMessage() + "; is the version right, and the network there? %mavenRepo NAME URL adds another repository", unresolved);
        }
    }

    /** The coordinates of the dependencies in {@code pom}: a whole file's text, or {@code <dependency>} elements alone. Its repositories are asked too. */
    List<String> ofPom(String pom) throws IOException {
        String whole = pom.contains("<project") ? pom : "<project><dependencies>" + pom + "</dependencies></project>";
        try {
            Model model = new MavenXpp3Reader().read(new StringReader(whole), false);
            model.getRepositories().forEach(one -> addRepository(one.getId(), one.getUrl()));
            List<String> coordinates = new ArrayList<>();
            for (Dependency one : model.getDependencies()) {
                if (one.getScope() == null || one.getScope().equals("compile") || one.getScope().equals("runtime")) {
                    coordinates.add(coordinates(one, model));
                }
            }
            return coordinates;
        } catch (XmlPullParserException malformed) {
            throw new IOException("the POM cannot be read: " + malformed.getMessage(), malformed);
        }
    }

    private static String coordinates(Dependency one, Model model) {
        Properties properties = new Properties(model.getProperties());
        properties.putAll(model.getProperties());
        properties.setProperty("project.version", String.valueOf(model.getVersion()));
        if (one.getVersion() == null) {
            throw new IllegalArgumentException(one.getGroupId() + ":" + one.getArtifactId() + " has no version in this POM; write it there, or use %maven with it");
        }
        String classifier = one.getClassifier() == null ? "" : ":" + one.getClassifier();
        String type = one.getClassifier() == null && one.getType().equals("jar") ? "" : ":" + one.getType();
        String written = one.getGroupId() + ":" + one.getArtifactId() + type + classifier + ":" + one.getVersion();
        return PROPERTY.matcher(written).replaceAll(found -> Matcher.quoteReplacement(properties.getProperty(found.group(1), found.group())));
    }

    /** The text of the POM at {@code file}. */
    List<String> ofPomFile(Path file) throws IOException {
        return ofPom(Files.readString(file));
    }
}
