package jqlora.kernel;

import java.lang.invoke.MethodType;
import java.lang.reflect.Array;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/**
 * The variables of cells, each a static field of a class that JShell has made. A variable that is declared anew gets a new field;
 * here the old ones follow the newest. So a cell that loads a model can be run again without the old model staying in memory,
 * and a lambda from an earlier cell sees the new value, as a reader of the notebook expects.
 */
final class CellVariables {
    private final Map<String, List<Field>> fields = new HashMap<>();

    /**
     * Notes the variables in a class that JShell has loaded. Where it is a new version of an older class, which JShell makes
     * when the type of something that it uses has changed, the variables keep their values.
     */
    void loaded(Class<?> snippet) {
        for (Field field : variables(snippet)) {
            List<Field> sameName = fields.computeIfAbsent(field.getName(), name -> new ArrayList<>());
            if (!sameName.isEmpty()) {
                set(field, get(sameName.getLast()));
            }
            sameName.add(field);
        }
    }

    /** The declarations of {@code snippet} are about to run: what its variables, and older ones of their names, refer to is let go. */
    void declaring(Class<?> snippet) {
        for (Field field : variables(snippet)) {
            fields.getOrDefault(field.getName(), List.of()).forEach(one -> set(one, null));
        }
    }

    /** Gives every older field the value of the newest one of its name, where its type allows. */
    void follow() {
        for (List<Field> sameName : fields.values()) {
            if (sameName.size() > 1) {
                Object newest = get(sameName.getLast());
                sameName.subList(0, sameName.size() - 1).forEach(older -> set(older, newest));
            }
        }
    }

    private static List<Field> variables(Class<?> snippet) {
        return Stream.of(snippet.getDeclaredFields()).filter(field -> Modifier.isStatic(field.getModifiers()) && !field.isSynthetic())
                .filter(Field::trySetAccessible).toList();
    }

    private static Object get(Field field) {
        try {
            return field.get(null);
        } catch (IllegalAccessException e) {
            throw new AssertionError(e);
        }
    }

    /** Sets {@code field} to {@code value} where its type allows, and to null or zero otherwise. */
    private static void set(Field field, Object value) {
        Class<?> type = MethodType.methodType(field.getType()).wrap().returnType();
        Object zero = Array.get(Array.newInstance(field.getType(), 1), 0);
        try {
            field.set(null, type.isInstance(value) ? value : zero);
        } catch (IllegalAccessException e) {
            throw new AssertionError(e);
        }
    }
}
