/**
 * LoRA: which layers get an adapter, by PEFT's rules; adapters in PEFT's files; merging into dense and 4-bit weights, and back.
 *
 * <p>May import: tensor, quant, ops, format, model.
 * <p>Read in this order: {@link jqlora.lora.LoraConfig}, {@link jqlora.lora.TargetModules}, {@link jqlora.lora.TargetTable},
 * {@link jqlora.lora.LoraAdapter}, {@link jqlora.lora.MergeRoute}, {@link jqlora.lora.MergePlan}, {@link jqlora.lora.Merger}.
 */
package jqlora.lora;
