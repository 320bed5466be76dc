package jqlora.notebook;

import java.util.List;
import jqlora.data.BatchPlan;
import jqlora.lora.MergeRoute;
import jqlora.model.ActivationBudget;
import jqlora.quant.FourBitType;
import jqlora.train.BatchConfig;
import jqlora.train.LearningRate;
import jqlora.train.Optim;

/** Constants, each with the sentence that says what it stands for. */
record EnumView(List<? extends Enum<?>> constants) implements Displayable {
    @Override
    public String text() {
        return constants.size() == 1 ? line(constants.getFirst()) : table().text();
    }

    @Override
    public String html() {
        if (constants.size() > 1) {
            return table().html();
        }
        Enum<?> only = constants.getFirst();
        String sentence = sentence(only);
        return "<code>" + Html.escape(only.name()) + "</code>" + (sentence.isEmpty() ? "" : ": " + Html.escape(sentence));
    }

    private static String line(Enum<?> constant) {
        String sentence = sentence(constant);
        return constant.name() + (sentence.isEmpty() ? "" : ": " + sentence);
    }

    private HtmlTable table() {
        HtmlTable table = new HtmlTable(constants.getFirst().getDeclaringClass().getSimpleName(), "what it means");
        constants.forEach(constant -> table.row(constant.name(), sentence(constant)));
        return table;
    }

    /** What {@code constant} stands for; empty where nobody has said it. */
    static String sentence(Enum<?> constant) {
        return switch (constant) {
            case MergeRoute route -> route(route.name());
            case Optim optim -> optim(optim.name());
            case LearningRate.Type type -> type(type.name());
            case BatchPlan.Order order -> order(order.name());
            case BatchConfig.Normalization normalization -> switch (normalization.name()) {
                case "TOKENS" -> "the loss of a step is divided by its labelled tokens: every token counts the same";
                case "LEGACY" -> "each micro-batch is divided by its own labelled tokens, then the mean is taken, as qlora.py does";
                default -> "";
            };
            case FourBitType type -> switch (type.name()) {
                case "NF4" -> "16 values at the quantiles of a normal distribution: made for weights";
                case "FP4" -> "16 values of a float with one sign, two exponent and one mantissa bit";
                default -> "";
            };
            case ActivationBudget.Kept kept -> switch (kept.name()) {
                case "INPUT" -> "a layer keeps its input only and computes the rest again: the least memory";
                case "ATTENTION" -> "a layer keeps its input and the result of attention: saves time where sequences are long";
                default -> "";
            };
            case ActivationBudget.Place place -> switch (place.name()) {
                case "DEVICE" -> "what is kept stays where it is computed";
                case "HOST" -> "what is kept goes to the host's memory and comes back for the backward";
                default -> "";
            };
            default -> "";
        };
    }

    private static String route(String name) {
        return switch (name) {
            case "ONTO_BASE" -> "the base as it computes, decoded if it is in 4 bits, plus the update; stored as numbers";
            case "ONTO_ORIGINAL" -> "the original checkpoint's numbers plus the update; stored as numbers";
            case "ORIGINAL_TO_4BIT" -> "the original checkpoint's numbers plus the update, quantized again: keeps the gain in 4 bits";
            case "STOCHASTIC_4BIT" -> "the decoded base plus the update, quantized again with random rounding: keeps the gain on average";
            case "PEFT_4BIT" -> "the decoded base plus the update, rounded to the nearest codes as PEFT does: keeps little of the gain";
            default -> "";
        };
    }

    private static String optim(String name) {
        return switch (name) {
            case "ADAMW_32BIT" -> "AdamW with its two moments in float32";
            case "ADAMW_8BIT" -> "AdamW with its two moments in 8 bits, in blocks of 256, as bitsandbytes: a quarter of the memory";
            case "PAGED_ADAMW_32BIT" -> "AdamW in float32, its moments in the host's memory";
            case "PAGED_ADAMW_8BIT" -> "AdamW in 8 bits, its moments in the host's memory";
            default -> "";
        };
    }

    private static String type(String name) {
        return switch (name) {
            case "CONSTANT" -> "the same rate in every step, without warm-up";
            case "CONSTANT_WITH_WARMUP" -> "rises over the warm-up steps, then stays";
            case "LINEAR" -> "rises over the warm-up steps, then falls in a straight line to 0";
            case "COSINE" -> "rises over the warm-up steps, then falls along half a cosine to 0";
            default -> "";
        };
    }

    private static String order(String name) {
        return switch (name) {
            case "AS_GIVEN" -> "rows as they stand in the data set";
            case "SHUFFLED" -> "rows in an order drawn anew for each epoch";
            case "GROUPED_BY_LENGTH" -> "rows of nearly the same length together, so that little is padded; groups in random order";
            default -> "";
        };
    }
}
