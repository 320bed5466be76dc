package jqlora.kernel;

/**
 * The module of the Vector API, brought in after the start. Where an incubator module is there from the start, as with
 * {@code --add-modules}, JDK 25 sets aside the archive of its modules, and with it the cache of linked classes that the quick start is
 * made of. So the quick start leaves it out, opens {@code jdk.internal.module} to us instead, and the kernel asks for it as the JDK's
 * own agents ask for theirs.
 */
final class VectorModule {
    private static final String NAME = "jdk.incubator.vector";

    private VectorModule() { }

    /** Makes sure that the module is there; {@code --add-modules}, or access to {@code jdk.internal.module}, must have been given. */
    static void load() {
        if (ModuleLayer.boot().findModule(NAME).isPresent()) {
            return;
        }
        try {
            Class.forName("jdk.internal.module.Modules").getMethod("loadModule", String.class).invoke(null, NAME);
        } catch (ReflectiveOperationException refused) {
            throw new IllegalStateException("the kernel needs --add-modules " + NAME, refused);
        }
    }
}
