package jqlora.kernel;

import java.lang.classfile.ClassFile;
import java.lang.classfile.ClassTransform;
import java.lang.classfile.CodeBuilder;
import java.lang.classfile.CodeElement;
import java.lang.classfile.CodeTransform;
import java.lang.classfile.Label;
import java.lang.classfile.instruction.BranchInstruction;
import java.lang.classfile.instruction.LabelTarget;
import java.lang.constant.ClassDesc;
import java.lang.constant.ConstantDescs;
import java.util.HashSet;
import java.util.Set;

/**
 * Puts a call of {@link CellThread#stopCheck} at the start of every method of a cell and before every jump back, so that an
 * endless loop can be ended. The JDK's {@code jdk.jshell.execution.LocalExecutionControl} does the same.
 */
final class StopCheckWeaver implements CodeTransform {
    private static final ClassDesc CELL_THREAD = ClassDesc.of(CellThread.class.getName());

    private final Set<Label> passed = new HashSet<>();

    private StopCheckWeaver() { }

    /** The class with its checks. */
    static byte[] weave(byte[] classFile) {
        ClassFile format = ClassFile.of();
        return format.transformClass(format.parse(classFile),
                ClassTransform.transformingMethodBodies(CodeTransform.ofStateful(StopCheckWeaver::new)));
    }

    @Override
    public void atStart(CodeBuilder code) {
        check(code);
    }

    @Override
    public void accept(CodeBuilder code, CodeElement element) {
        switch (element) {
            case LabelTarget target -> passed.add(target.label());
            case BranchInstruction branch when passed.contains(branch.target()) -> check(code);
            default -> { }
        }
        code.with(element);
    }

    private static void check(CodeBuilder code) {
        code.invokestatic(CELL_THREAD, "stopCheck", ConstantDescs.MTD_void);
    }
}
