/**
 * Our Jupyter kernel: Java 25 cells through JShell, on the base kernel of the IJava and JJava line.
 *
 * <p>May import: every room but cli. Not to be mixed up with CUDA kernels, whose sources are in {@code resources/jqlora/ops/cuda};
 * the kernelspec that front ends read is made from the top-level folder {@code kernels/}.
 * <p>Read in this order: {@link jqlora.kernel.KernelMain}, {@link jqlora.kernel.QloraKernel} (Jupyter's requests),
 * {@link jqlora.kernel.CellRunner} (a cell from source to value), {@link jqlora.kernel.JavaShell} (JShell),
 * {@link jqlora.kernel.CellThread} (where cells run, and how they are interrupted), {@link jqlora.kernel.NotebookOutput} (what
 * goes to the front end, and how fast).
 */
package jqlora.kernel;
