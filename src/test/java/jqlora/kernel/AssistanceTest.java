package jqlora.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Optional;
import org.junit.jupiter.api.Test;

class AssistanceTest {
    @Test
    void aCellThatIsNothingButANameAndAQuestionMarkAsksForHelp() {
        assertEquals(Optional.of("String"), Assistance.question("String?"));
        assertEquals(Optional.of("java.util.List.of"), Assistance.question("  java.util.List.of ?\n"));
        assertEquals(Optional.of("数"), Assistance.question("? 数"));
    }

    @Test
    void javaDoesNot() {
        for (String java : new String[] {"", "?", "x ? 1 : 2", "x?\n1:2", "f()?", "\"a\"?", "// really?", "1?", "String?\nx", "a b?"}) {
            assertEquals(Optional.empty(), Assistance.question(java), java);
        }
    }
}
