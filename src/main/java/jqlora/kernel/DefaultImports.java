package jqlora.kernel;

import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.net.MalformedURLException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * The imports that every notebook begins with, kept out of the way of names that the notebook declares or imports itself. They are
 * imports on demand, which a declaration shadows as soon as it is valid. But until then, as while two types that refer to each
 * other are declared one after the other, or beside another import on demand, the name would be ours or ambiguous. Then the
 * package's import is replaced by one for each name that is used, without the name in question.
 */
final class DefaultImports {
    /** Changes the imports that JShell has. */
    interface Shell {
        /** Evaluates {@code import WHAT;}. */
        void add(String what);

        /** Takes back {@code import WHAT;}. */
        void drop(String what);
    }

    private final Shell shell;
    private final Map<String, Source> sources = new LinkedHashMap<>();
    private final Set<String> mentioned = new HashSet<>();        // in all cells so far
    private final List<String> userPackages = new ArrayList<>();
    private final Map<String, Boolean> known = new HashMap<>();
    private ClassLoader classes = DefaultImports.class.getClassLoader();

    /** A package, or a class whose static members are imported, with what is imported of it. */
    private static final class Source {
        final String name;
        final boolean methods;
        final boolean jshells;                                    // jshell imports it as well
        final Set<String> hidden = new HashSet<>();               // names that are the notebook's own
        final Set<String> single = new HashSet<>();               // imported one by one
        boolean onDemand = true;
        boolean imported;                                         // on demand

        Source(String name, boolean methods, boolean jshells) {
            this.name = name;
            this.methods = methods;
            this.jshells = jshells;
        }

        String importOf(String member) {
            return (methods ? "static " : "") + name + "." + member;
        }
    }

    DefaultImports(Shell shell) {
        this.shell = shell;
    }

    /**
     * Makes the members of {@code what} known: a package, or {@code static} and a class. It is imported when a cell first mentions
     * one of them, since each import is a run of javac, and the first cell needs few.
     */
    void add(String what, boolean jshells) {
        boolean methods = what.startsWith("static ");
        Source source = new Source(methods ? what.substring("static ".length()) : what, methods, jshells);
        sources.put(what, source);
    }

    /**
     * Imports one of those that no cell has needed so far.
     *
     * @return false where none is left
     */
    boolean importNext() {
        Optional<Source> next = sources.values().stream().filter(source -> source.onDemand && !source.imported).findFirst();
        next.ifPresent(this::importOnDemand);
        return next.isPresent();
    }

    private void importOnDemand(Source source) {
        source.imported = true;
        shell.add(source.importOf("*"));
    }

    /** Classes of {@code jarOrFolder} can be imported by cells from now on. */
    void addPath(Path jarOrFolder) {
        try {
            classes = new URLClassLoader(new URL[] {jarOrFolder.toUri().toURL()}, classes);
            known.clear();
        } catch (MalformedURLException e) {
            throw new IllegalArgumentException(jarOrFolder + ": not a path to load classes from", e);
        }
    }

    /** Makes way for what a cell declares, before it runs, and sees to it that the other names that it mentions are there. */
    void before(TopLevelNames names) {
        mentioned.addAll(names.mentioned());
        for (Source source : sources.values()) {
            for (String own : source.methods ? names.methods() : names.types()) {
                if (has(source, own)) {
                    hide(source, own);
                }
            }
            if (!source.jshells && !source.methods && !userPackages.isEmpty()) {
                names.mentioned().stream().filter(name -> has(source, name) && userPackages.stream().anyMatch(theirs -> exists(theirs, name)))
                        .forEach(name -> hide(source, name));
            }
            if (!source.onDemand) {
                names.mentioned().forEach(name -> addSingle(source, name));
            } else if (!source.imported && names.mentioned().stream().anyMatch(name -> has(source, name))) {
                importOnDemand(source);
            }
        }
    }

    /** A cell imports {@code what} on demand: from now on names in it are preferred over ours. */
    void userImports(String what) {
        if (!what.startsWith("static ")) {
            userPackages.add(what);
            before(new TopLevelNames(Set.of(), Set.of(), Set.of(), Set.copyOf(mentioned)));
            return;
        }
        for (Source source : sources.values()) {
            if (source.methods) {
                sameMethods(source.name, what.substring("static ".length())).forEach(name -> hide(source, name));
            }
        }
    }

    /** A cell imports one type or static member, which every import on demand gives way to. */
    void userImportsName(String what) {
        String name = what.substring(what.lastIndexOf('.') + 1);
        for (Source source : sources.values()) {
            if (!what.equals(source.name + "." + name) && has(source, name)) {
                source.hidden.add(name);
                source.single.remove(name);                       // JShell has replaced it
            }
        }
    }

    /** Where {@code name} comes from if it is one of ours, such as {@code jqlora.tensor.Shape}; packages that jshell imports too are not asked. */
    Optional<String> ours(String name) {
        return sources.values().stream().filter(source -> !source.jshells && !source.methods && visible(source, name))
                .map(source -> source.name + "." + name).findFirst();
    }

    /** Takes {@code name} away until a cell mentions it again. */
    void withdraw(String name) {
        for (Source source : sources.values()) {
            if (!source.methods && visible(source, name)) {
                expand(source, name);
                if (source.single.remove(name)) {
                    shell.drop(source.importOf(name));
                }
            }
        }
    }

    /** Brings {@code name} back. */
    void restore(String name) {
        sources.values().stream().filter(source -> !source.onDemand).forEach(source -> addSingle(source, name));
    }

    private boolean visible(Source source, String name) {
        return !source.hidden.contains(name) && has(source, name);
    }

    private void hide(Source source, String name) {
        if (source.hidden.add(name)) {
            expand(source, name);
            if (source.single.remove(name)) {
                shell.drop(source.importOf(name));
            }
        }
    }

    /** Imports what has been used of {@code source} one by one, all but {@code without}, and the whole of it no more. */
    private void expand(Source source, String without) {
        if (source.onDemand) {
            source.onDemand = false;
            mentioned.stream().filter(name -> !name.equals(without)).forEach(name -> addSingle(source, name));
            if (source.imported) {
                shell.drop(source.importOf("*"));
            }
        }
    }

    private void addSingle(Source source, String name) {
        if (visible(source, name) && source.single.add(name)) {
            shell.add(source.importOf(name));
        }
    }

    private boolean has(Source source, String name) {
        return source.methods ? publicStatics(source.name).stream().anyMatch(method -> method.getName().equals(name)) || hasConstant(source.name, name)
                : exists(source.name, name);
    }

    private boolean exists(String packageName, String name) {
        if (!Character.isUpperCase(name.charAt(0))) {
            return false;                                         // no public type of a library begins otherwise
        }
        return known.computeIfAbsent(packageName + "." + name, type -> {
            try {
                return Modifier.isPublic(Class.forName(type, false, classes).getModifiers());
            } catch (ClassNotFoundException | LinkageError none) {
                return false;
            }
        });
    }

    private boolean hasConstant(String type, String name) {
        try {
            return Modifier.isStatic(Class.forName(type, false, classes).getField(name).getModifiers());
        } catch (ReflectiveOperationException | LinkageError none) {
            return false;
        }
    }

    private List<Method> publicStatics(String type) {
        try {
            return Arrays.stream(Class.forName(type, false, classes).getMethods()).filter(method -> Modifier.isStatic(method.getModifiers())).toList();
        } catch (ClassNotFoundException | LinkageError none) {
            return List.of();
        }
    }

    private List<String> sameMethods(String ours, String theirs) {
        List<Method> methods = publicStatics(theirs);
        return publicStatics(ours).stream().filter(one -> methods.stream().anyMatch(other -> other.getName().equals(one.getName())
                && Arrays.equals(other.getParameterTypes(), one.getParameterTypes()))).map(Method::getName).distinct().toList();
    }
}
