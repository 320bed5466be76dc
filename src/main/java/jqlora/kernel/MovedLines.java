package jqlora.kernel;

import java.lang.classfile.ClassFile;
import java.lang.classfile.ClassFile.ConstantPoolSharingOption;
import java.lang.classfile.ClassFile.DebugElementsOption;
import java.lang.classfile.ClassFile.LineNumbersOption;
import java.lang.classfile.ClassTransform;
import java.lang.classfile.MethodModel;
import java.lang.classfile.attribute.LineNumberInfo;
import java.lang.classfile.Attributes;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Where the lines of a loaded class stand now. A class that is declared again with another comment or another indent is the same
 * class, and stays loaded; only what its stack frames name as line numbers has to be read anew.
 */
final class MovedLines {
    private static final ClassFile WITHOUT_LINES = ClassFile.of(DebugElementsOption.DROP_DEBUG, LineNumbersOption.DROP_LINE_NUMBERS,
            ConstantPoolSharingOption.NEW_POOL);

    private final Map<String, Map<String, Integer>> lines = new HashMap<>();      // class, then method and line

    /** Whether two class files differ in nothing but where the lines of their source stand. */
    static boolean sameButLines(byte[] one, byte[] other) {
        return Arrays.equals(withoutLines(one), withoutLines(other));
    }

    /** Notes that what {@code loaded} has as its lines stands where {@code now} says. Both have the same instructions. */
    void note(String className, byte[] loaded, byte[] now) {
        Map<String, Integer> of = new HashMap<>();
        List<MethodModel> before = ClassFile.of().parse(loaded).methods();
        List<MethodModel> after = ClassFile.of().parse(now).methods();
        for (int i = 0; i < before.size(); i++) {
            TreeMap<Integer, Integer> there = new TreeMap<>();
            lineTable(after.get(i)).forEach(entry -> there.put(entry.startPc(), entry.lineNumber()));
            for (LineNumberInfo entry : lineTable(before.get(i))) {
                Map.Entry<Integer, Integer> at = there.floorEntry(entry.startPc());
                of.putIfAbsent(key(before.get(i).methodName().stringValue(), entry.lineNumber()), at == null ? entry.lineNumber() : at.getValue());
            }
        }
        lines.put(className, of);
    }

    /** The line in the newest source of what {@code frame} names as its line in the loaded class. */
    int now(StackTraceElement frame) {
        return lines.getOrDefault(frame.getClassName(), Map.of()).getOrDefault(key(frame.getMethodName(), frame.getLineNumber()), frame.getLineNumber());
    }

    private static String key(String method, int line) {
        return method + ":" + line;
    }

    private static byte[] withoutLines(byte[] classFile) {
        return WITHOUT_LINES.transformClass(WITHOUT_LINES.parse(classFile), ClassTransform.ACCEPT_ALL);
    }

    private static List<LineNumberInfo> lineTable(MethodModel method) {
        return method.code().flatMap(code -> code.findAttribute(Attributes.lineNumberTable())).map(table -> table.lineNumbers()).orElse(List.of());
    }
}
