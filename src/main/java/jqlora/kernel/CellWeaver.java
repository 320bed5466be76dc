package jqlora.kernel;

import java.lang.classfile.ClassFile;
import java.lang.classfile.ClassTransform;
import java.lang.classfile.CodeBuilder;
import java.lang.classfile.CodeElement;
import java.lang.classfile.CodeTransform;
import java.lang.classfile.Instruction;
import java.lang.classfile.Label;
import java.lang.classfile.instruction.BranchInstruction;
import java.lang.classfile.instruction.InvokeDynamicInstruction;
import java.lang.classfile.instruction.InvokeInstruction;
import java.lang.classfile.instruction.LabelTarget;
import java.lang.constant.ClassDesc;
import java.lang.constant.ConstantDesc;
import java.lang.constant.ConstantDescs;
import java.lang.constant.DirectMethodHandleDesc;
import java.lang.constant.DynamicCallSiteDesc;
import java.lang.constant.MethodHandleDesc;
import java.lang.constant.MethodTypeDesc;
import java.util.HashSet;
import java.util.Set;
import java.util.stream.Stream;

/**
 * Puts a call of {@link CellThread#stopCheck} at the start of every method of a cell and before every jump back, so that an
 * endless loop can be ended, as the JDK's {@code jdk.jshell.execution.LocalExecutionControl} does; and calls {@link CellThread#exit}
 * where the cell would end the process.
 */
final class CellWeaver implements CodeTransform {
    private static final ClassDesc CELL_THREAD = ClassDesc.of(CellThread.class.getName());
    private static final ClassDesc RUNTIME = ClassDesc.of(Runtime.class.getName());
    private static final MethodTypeDesc TAKES_STATUS = MethodTypeDesc.of(ConstantDescs.CD_void, ConstantDescs.CD_int);

    private final Set<Label> passed = new HashSet<>();
    private boolean begun;                                        // the method has its check

    private CellWeaver() { }

    /** The class with its checks. */
    static byte[] weave(byte[] classFile) {
        ClassFile format = ClassFile.of();
        return format.transformClass(format.parse(classFile),
                ClassTransform.transformingMethodBodies(CodeTransform.ofStateful(CellWeaver::new)));
    }

    @Override
    public void accept(CodeBuilder code, CodeElement element) {
        if (!begun && element instanceof Instruction) {           // behind the method's first line number, so that the check is on that line
            begun = true;
            check(code);
        }
        switch (element) {
            case LabelTarget target -> {
                passed.add(target.label());
                code.with(element);
            }
            case BranchInstruction branch when passed.contains(branch.target()) -> {
                check(code);
                code.with(element);
            }
            case InvokeInstruction call when exits(call.owner().asInternalName(), call.name().stringValue()) ->
                    code.invokestatic(CELL_THREAD, "exit", call.owner().asInternalName().equals("java/lang/System") ? TAKES_STATUS
                            : TAKES_STATUS.insertParameterTypes(0, RUNTIME));
            case InvokeDynamicInstruction lambda when lambda.bootstrapArgs().stream().anyMatch(CellWeaver::exits) ->
                    code.invokedynamic(DynamicCallSiteDesc.of(lambda.bootstrapMethod(), lambda.name().stringValue(), lambda.typeSymbol(),
                            lambda.bootstrapArgs().stream().map(one -> exits(one) ? exitHandle((DirectMethodHandleDesc) one) : one).toArray(ConstantDesc[]::new)));
            default -> code.with(element);
        }
    }

    private static boolean exits(String owner, String method) {
        return owner.equals("java/lang/System") && method.equals("exit")
                || owner.equals("java/lang/Runtime") && Stream.of("exit", "halt").anyMatch(method::equals);
    }

    private static boolean exits(ConstantDesc argument) {
        return argument instanceof DirectMethodHandleDesc handle && handle.owner().isClassOrInterface()
                && exits((handle.owner().packageName() + "." + handle.owner().displayName()).replace('.', '/'), handle.methodName());
    }

    private static ConstantDesc exitHandle(DirectMethodHandleDesc handle) {
        MethodTypeDesc type = handle.owner().equals(RUNTIME) ? TAKES_STATUS.insertParameterTypes(0, RUNTIME) : TAKES_STATUS;
        return MethodHandleDesc.ofMethod(DirectMethodHandleDesc.Kind.STATIC, CELL_THREAD, "exit", type);
    }

    private static void check(CodeBuilder code) {
        code.invokestatic(CELL_THREAD, "stopCheck", ConstantDescs.MTD_void);
    }
}
