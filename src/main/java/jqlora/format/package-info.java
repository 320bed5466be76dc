/**
 * Files of the Hugging Face stack: safetensors and model folders, {@code config.json}, bitsandbytes' 4-bit state, PEFT adapter
 * folders, and the Hub's cache.
 *
 * <p>May import: tensor, quant. Only place for the JSON library; other rooms read with {@link jqlora.format.JsonView} and write maps
 * and lists with {@link jqlora.format.PythonJson}.
 * <p>Read in this order: {@link jqlora.format.SafetensorsFile}, {@link jqlora.format.SafetensorsWriter},
 * {@link jqlora.format.Checkpoint}, {@link jqlora.format.JsonView}, {@link jqlora.format.PythonJson}, {@link jqlora.format.HfConfig},
 * {@link jqlora.format.BitsAndBytesState}, {@link jqlora.format.PeftAdapterFiles},
 * {@link jqlora.format.HubCache}, {@link jqlora.format.HubDownload}.
 */
package jqlora.format;
