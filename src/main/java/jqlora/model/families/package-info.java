/**
 * What the {@code config.json} of each family means. A new family is one file here and one line in {@link jqlora.model.families.Families}.
 *
 * <p>May import: tensor, quant, ops, format.
 * <p>Read in this order: {@link jqlora.model.families.Families}, {@link jqlora.model.families.FamilyConfig}, {@link jqlora.model.families.LlamaFamily}, and any other beside it.
 */
package jqlora.model.families;
