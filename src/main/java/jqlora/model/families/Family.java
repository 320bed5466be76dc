package jqlora.model.families;

import java.io.IOException;
import jqlora.model.DecoderSpec;

/** What the {@code config.json} of one {@code model_type} means. */
@FunctionalInterface
interface Family {
    /**
     * The decoder that {@code config} describes.
     *
     * @throws IOException if a value is missing or not as it must be, or asks for what is not computed
     */
    DecoderSpec read(FamilyConfig config) throws IOException;
}
