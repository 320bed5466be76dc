/**
 * Names for what a tensor is: element type, shape, a view of host memory, and the handle of a tensor that a backend owns.
 *
 * <p>May import: nothing of jqlora. Only place for {@code java.lang.foreign} views of tensor bytes.
 * <p>Read in this order: {@link jqlora.tensor.DType}, {@link jqlora.tensor.Shape}, {@link jqlora.tensor.TensorView},
 * {@link jqlora.tensor.Tensor}, {@link jqlora.tensor.FloatConversion}; {@link jqlora.tensor.NearNames} ends the error messages about names,
 * {@link jqlora.tensor.ContentHash} tells contents apart.
 */
package jqlora.tensor;
