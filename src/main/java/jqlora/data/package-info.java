/**
 * From rows of text to rows of tokens: data set files, prompt templates, the tokenizer, labels, batches and their order.
 *
 * <p>May import: format. Only place for the tokenizer library.
 * <p>Read in this order: {@link jqlora.data.InstructionRow}, {@link jqlora.data.InstructionFile}, {@link jqlora.data.PromptTemplate},
 * {@link jqlora.data.Segment}, {@link jqlora.data.TextTokenizer}, {@link jqlora.data.SupervisedTokenizer}, {@link
 * jqlora.data.TokenizedRow}, {@link jqlora.data.Batch}, {@link jqlora.data.BatchPlan}.
 */
package jqlora.data;
