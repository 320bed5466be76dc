/**
 * Where to compute, and how: a value that opens the backend. What is above it never names one of the backends for an NVIDIA GPU.
 *
 * <p>May import: ops.
 * <p>Read in this order: {@link jqlora.device.Device}, {@link jqlora.device.Nvidia}.
 */
package jqlora.device;
