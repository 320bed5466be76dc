package jqlora.cli;

import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Options of qlora.py, its scripts and transformers' trainer that are not options here, each with what would do.
 *
 * @see <a href="https://github.com/artidoro/qlora/blob/7f4e95a/qlora.py">qlora.py:76-250</a>
 */
final class NotBuilt {
    private static final Map<String, String> INSTEAD = new LinkedHashMap<>();

    static {
        say("families are built in, and no code of a model's folder is ever run; leave it out", "trust_remote_code");
        say("the Hub's token comes from HF_TOKEN or hf auth login; leave it out", "use_auth_token");
        say("the Hub's cache is where HF_HOME or HF_HUB_CACHE says", "cache_dir");
        say("only adapters are trained here; leave it out, or make a model from nothing with ./jqlora pretrain", "full_finetune");
        say("give --optim adamw_bnb_8bit or paged_adamw_8bit", "adam8bit");
        say("what fits into the memory is planned before the first step; a smaller batch and --gradient_checkpointing take less",
                "max_memory_MB");
        say("a processor computes in float32 and a GPU in bfloat16; leave it out (--bits 16 rounds the weights to bfloat16)", "bf16",
                "fp16", "tf32", "half_precision_backend", "fp16_opt_level");
        say("there is no MMLU; measure with --do_eval on rows of your own that are held out", "mmlu_split", "mmlu_dataset",
                "do_mmlu_eval", "max_mmlu_samples", "mmlu_source_max_len");
        say("progress is on the terminal, and every step's loss in trainer_state.json of each checkpoint; leave it out", "report_to",
                "logging_dir", "run_name", "logging_strategy", "logging_first_step", "log_level", "disable_tqdm");
        say("columns that are not read are told, and do no harm; leave it out", "remove_unused_columns");
        say("give --eval_steps; rows are evaluated before the first step and after the last in any case", "evaluation_strategy",
                "eval_strategy");
        say("give --save_steps", "save_strategy");
        say("held-out rows are packed as they fit; leave it out", "per_device_eval_batch_size", "eval_accumulation_steps");
        say("--per_device_train_batch_size is its name", "per_gpu_train_batch_size");
        say("give --warmup_ratio, a share of all steps", "warmup_steps");
        say("rows are read by the thread that trains; leave it out", "dataloader_num_workers", "dataloader_pin_memory",
                "preprocessing_num_workers");
        say("--seed settles the order of rows too", "data_seed");
        say("a run goes on by itself with the same --output_dir", "resume_from_checkpoint");
        say("the adapter is always saved; leave it out", "save_safetensors", "save_only_model", "load_best_model_at_end");
        say("one device trains; give --device cuda:N to choose it", "ddp_find_unused_parameters", "local_rank", "fsdp", "fsdp_config",
                "deepspeed");
        say("answers at the end are printed; for others load the adapter with loadAdapter in a notebook", "do_predict",
                "predict_with_generate", "generation_max_length", "generation_num_beams");
        say("answers are greedy, or with --do_sample at random by --temperature, --top_k and --top_p", "num_beams", "num_beam_groups",
                "penalty_alpha", "typical_p", "diversity_penalty", "repetition_penalty", "length_penalty", "no_repeat_ngram_size",
                "min_new_tokens");
        say("generation always has its cache; leave it out", "use_cache");
        say("copy the folder to the Hub with hf upload; leave it out", "push_to_hub", "hub_model_id", "hub_token", "hub_strategy");
        say("it changes the loss, and is not there; leave it out", "label_smoothing_factor", "neftune_noise_alpha");
        say("kernels are compiled already; leave it out", "torch_compile");
    }

    private NotBuilt() { }

    private static void say(String instead, String... names) {
        for (String name : names) {
            INSTEAD.put(name, instead);
        }
    }

    /** What would do in the place of the option {@code name}; null if there is no such option in Python either. */
    static String insteadOf(String name) {
        return INSTEAD.get(name);
    }

    /** All names, for the test that none of them is an option here. */
    static Iterable<String> names() {
        return INSTEAD.keySet();
    }
}
