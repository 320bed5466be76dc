package jqlora.ops.cuda;

import static org.bytedeco.cuda.global.cudart.CU_STREAM_NON_BLOCKING;
import static org.bytedeco.cuda.global.cudart.cuMemcpyDtoHAsync;
import static org.bytedeco.cuda.global.cudart.cuMemcpyHtoDAsync;
import static org.bytedeco.cuda.global.cudart.cuStreamCreate;
import static org.bytedeco.cuda.global.cudart.cuStreamDestroy;
import static org.bytedeco.cuda.global.cudart.cuStreamSynchronize;

import java.util.ArrayList;
import java.util.List;
import jqlora.tensor.Tensor;
import org.bytedeco.cuda.cudart.CUevent_st;
import org.bytedeco.cuda.cudart.CUstream_st;

/**
 * Tensors that wait in the host's memory. Copies run on streams of their own, one there and one back, while the computing stream goes on: it waits for a
 * copy to the host when the next one is begun, which gives the device's memory back, and for a copy from the host when something takes the tensor.
 */
final class HostTensors implements AutoCloseable {
    private final CudaDevice device;
    private final DeviceMemory memory;
    private final PinnedMemory pinned;
    private final CUstream_st out = new CUstream_st(), in = new CUstream_st();
    private final CUevent_st computed, gone, come;
    private final List<CudaTensor> leaving = new ArrayList<>();
    private final Address host = new Address();

    HostTensors(CudaDevice device, DeviceMemory memory) {
        this.device = device;
        this.memory = memory;
        this.pinned = new PinnedMemory(device);
        device.bind();
        CudaDevice.check("cuStreamCreate", cuStreamCreate(out, CU_STREAM_NON_BLOCKING));
        CudaDevice.check("cuStreamCreate", cuStreamCreate(in, CU_STREAM_NON_BLOCKING));
        computed = device.newEvent();
        gone = device.newEvent();
        come = device.newEvent();
    }

    /** Where a tensor is whose elements were moved: pieces of the host's memory, and whether they are on their way back. */
    final class Place {
        private final CudaTensor tensor;
        private final long[] pieces;
        private boolean arriving;

        private Place(CudaTensor tensor) {
            this.tensor = tensor;
            this.pieces = pinned.take(tensor.storedBytes());
        }

        /** Lets the computing stream wait for the elements; they must have been fetched. */
        void arrive() {
            if (!arriving) {
                throw new IllegalArgumentException("tensor " + tensor + " is in the host's memory, it must be fetched before it is used");
            }
            device.await(come, device.stream());
            pinned.giveBack(pieces);
        }

        /** The tensor is closed: gives back what it has. */
        void close() {
            if (arriving) {
                arrive();
            } else {
                settle();
                pinned.giveBack(pieces);
            }
        }

        private void copyOut() {
            for (int i = 0; i < pieces.length; i++) {
                CudaDevice.check("cuMemcpyDtoHAsync", cuMemcpyDtoHAsync(host.at(pieces[i]), tensor.address() + i * PinnedMemory.PIECE, bytes(i), out));
            }
        }

        private void copyIn() {
            for (int i = 0; i < pieces.length; i++) {
                CudaDevice.check("cuMemcpyHtoDAsync", cuMemcpyHtoDAsync(tensor.address() + i * PinnedMemory.PIECE, host.at(pieces[i]), bytes(i), in));
            }
            arriving = true;
        }

        /** Whether the elements are in the host's memory and not fetched. */
        boolean isAway() {
            return !arriving;
        }

        /** The addresses of the elements' pieces, each of {@link PinnedMemory#PIECE} bytes but the last. */
        long[] pieces() {
            return pieces;
        }

        private long bytes(long piece) {
            return Math.min(PinnedMemory.PIECE, tensor.storedBytes() - piece * PinnedMemory.PIECE);
        }
    }

    /** @see jqlora.ops.Ops#offload */
    void offload(List<Tensor> tensors) {
        settle();
        List<Place> places = tensors.stream().map(tensor -> new Place(CudaTensor.of(tensor))).toList();
        device.record(computed, device.stream());
        device.await(computed, out);
        for (Place place : places) {
            place.copyOut();
            place.tensor.leave(place);
            leaving.add(place.tensor);
        }
        device.record(gone, out);
    }

    /** @see jqlora.ops.Ops#fetch */
    void fetch(List<Tensor> tensors) {
        settle();
        List<Place> places = tensors.stream().map(tensor -> ((CudaTensor) tensor).place()).filter(place -> place != null && !place.arriving).toList();
        if (places.isEmpty()) {
            return;
        }
        places.forEach(place -> place.tensor.takeMemory());
        // what the computing stream was given before may still use that memory
        device.record(computed, device.stream());
        device.await(computed, in);
        places.forEach(Place::copyIn);
        device.record(come, in);
    }

    /** Gives back the device's memory of what is on its way to the host; who gets it waits for that. */
    private void settle() {
        if (!leaving.isEmpty()) {
            device.await(gone, device.stream());
            leaving.forEach(CudaTensor::giveMemoryBack);
            leaving.clear();
        }
    }

    /** The stream of copies to the device, which from now on begin after all copies to the host that were begun. */
    CUstream_st arrivals() {
        settle();
        device.await(gone, in);
        return in;
    }

    /** The stream of copies to the host. */
    CUstream_st departures() {
        return out;
    }

    /** Bytes of the host's memory that are taken. */
    long reservedBytes() {
        return pinned.reservedBytes();
    }

    @Override
    public void close() {
        device.bind();
        CudaDevice.check("cuStreamSynchronize", cuStreamSynchronize(out));
        CudaDevice.check("cuStreamSynchronize", cuStreamSynchronize(in));
        pinned.close();
        device.destroy(computed);
        device.destroy(gone);
        device.destroy(come);
        CudaDevice.check("cuStreamDestroy", cuStreamDestroy(out));
        CudaDevice.check("cuStreamDestroy", cuStreamDestroy(in));
    }
}
