package jqlora.kernel;

import java.lang.invoke.MethodType;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * The variables of cells, each a static field of a class that JShell has made. A variable that is declared anew gets a new field;
 * here the old ones follow the newest. So a cell that loads a model can be run again without the old model staying in memory, and
 * a lambda from an earlier cell sees the new value, as a reader of the notebook expects.
 */
final class CellVariables {
    private final Map<String, List<Field>> fields = new HashMap<>();

    /** Notes the variables that {@code snippet} declares; older fields of their names let go of what they refer to. */
    void declare(Class<?> snippet) {
        for (Field field : snippet.getDeclaredFields()) {
            if (Modifier.isStatic(field.getModifiers()) && !field.isSynthetic()) {
                field.setAccessible(true);
                List<Field> sameName = fields.computeIfAbsent(field.getName(), name -> new ArrayList<>());
                if (!sameName.contains(field)) {
                    sameName.forEach(older -> set(older, null));
                    sameName.add(field);
                }
            }
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

    private static Object get(Field field) {
        try {
            return field.get(null);
        } catch (IllegalAccessException e) {
            throw new AssertionError(e);
        }
    }

    /** Sets what can be set: a primitive keeps its value where {@code value} is not of its type, a reference is cleared. */
    private static void set(Field field, Object value) {
        boolean primitive = field.getType().isPrimitive();
        boolean fits = primitive ? value != null && field.getType() == MethodType.methodType(value.getClass()).unwrap().returnType()
                : field.getType().isInstance(value);
        try {
            if (fits || !primitive) {
                field.set(null, fits ? value : null);
            }
        } catch (IllegalAccessException e) {
            throw new AssertionError(e);
        }
    }
}
