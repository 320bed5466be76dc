package jqlora.kernel;

import java.lang.invoke.MethodType;
import java.lang.ref.SoftReference;
import java.lang.reflect.Array;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * The variables of cells, each a static field of a class that JShell has made. A variable that is declared anew gets a new field;
 * here the old ones follow the newest. So a cell that loads a model can be run again without the old model staying in memory,
 * and a lambda from an earlier cell sees the new value, as a reader of the notebook expects.
 */
final class CellVariables {
    private final Map<String, List<Field>> fields = new HashMap<>();
    private final Map<String, Object> lost = new LinkedHashMap<>();

    /** What a declaration does to its variables. */
    interface Declaration {
        /** The initializer has ended. */
        void end(boolean well);
    }

    /**
     * Notes the variables in a class that JShell has loaded. Where it is a new version of an older class, which JShell makes
     * when the type of something that it uses has changed, the variables keep their values if those are of the new type.
     */
    void loaded(Class<?> snippet) {
        for (Field field : variables(snippet)) {
            List<Field> sameName = fields.computeIfAbsent(field.getName(), name -> new ArrayList<>());
            if (!sameName.isEmpty()) {
                Field older = sameName.getLast();
                Object value = get(older);
                boolean sameType = older.getGenericType().equals(field.getGenericType());
                set(field, sameType || field.getGenericType() instanceof Class ? value : null);
                if (!isZero(older, value) && isZero(field, get(field))) {
                    lost.put(field.getName(), value);
                }
            }
            sameName.add(field);
        }
    }

    /** The variables that have lost their values since this was asked last, with those values. */
    Map<String, Object> takeLost() {
        Map<String, Object> taken = new LinkedHashMap<>(lost);
        lost.clear();
        return taken;
    }

    /** The field that holds variable {@code name}. */
    Optional<Field> field(String name) {
        return Optional.ofNullable(fields.get(name)).map(List::getLast);
    }

    /** What variable {@code name} holds; null also where there is none. */
    Object value(String name) {
        return field(name).map(CellVariables::get).orElse(null);
    }

    /** Gives variable {@code name} the value {@code value}, or lets go of it. */
    void put(String name, Object value) {
        fields.getOrDefault(name, List.of()).forEach(one -> set(one, value));
    }

    /**
     * The declarations of {@code snippet} are about to run: what its variables, and older ones of their names, refer to is let go.
     * Should the initializer fail, a variable gets back what it had, unless the memory was needed meanwhile.
     */
    Declaration declaring(Class<?> snippet) {
        Map<String, SoftReference<Object>> before = new HashMap<>();
        for (Field field : variables(snippet)) {
            before.put(field.getName(), new SoftReference<>(value(field.getName())));
            put(field.getName(), null);
        }
        return well -> {
            if (!well) {
                before.forEach((name, value) -> put(name, value.get()));
            }
            follow();
        };
    }

    /** Gives every older field the value of the newest one of its name, where its type allows. */
    private void follow() {
        for (List<Field> sameName : fields.values()) {
            if (sameName.size() > 1) {
                Object newest = get(sameName.getLast());
                sameName.subList(0, sameName.size() - 1).forEach(older -> set(older, newest));
            }
        }
    }

    private static List<Field> variables(Class<?> snippet) {
        return snippet.getName().indexOf('$', snippet.getName().indexOf("$JShell$") + "$JShell$".length()) >= 0 ? List.of()      // a cell's own class
                : Stream.of(snippet.getDeclaredFields()).filter(field -> Modifier.isStatic(field.getModifiers()) && !field.isSynthetic())
                        .filter(Field::trySetAccessible).toList();
    }

    private static Object get(Field field) {
        try {
            return field.get(null);
        } catch (IllegalAccessException e) {
            throw new AssertionError(e);
        }
    }

    private static Object zero(Field field) {
        return Array.get(Array.newInstance(field.getType(), 1), 0);
    }

    private static boolean isZero(Field field, Object value) {
        return value == null || field.getType().isPrimitive() && value.equals(zero(field));
    }

    /** Sets {@code field} to {@code value} where its type allows, and to null or zero otherwise. */
    private static void set(Field field, Object value) {
        Class<?> type = MethodType.methodType(field.getType()).wrap().returnType();
        try {
            field.set(null, type.isInstance(value) ? value : zero(field));
        } catch (IllegalAccessException e) {
            throw new AssertionError(e);
        }
    }
}
