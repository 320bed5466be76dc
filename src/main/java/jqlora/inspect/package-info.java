/**
 * Looking at weights and runs: what weights are like, what an adapter or a merge changed, how alike two adapters are, how two folders differ, what quantization
 * costs, where memory goes, how a run went; as Tablesaw tables and XChart figures.
 *
 * <p>May import: all rooms above it. With {@code experiment} and {@code notebook}, the only place for Tablesaw and XChart.
 * <p>Read in this order: {@link jqlora.inspect.WeightDiff}, {@link jqlora.inspect.Spectrum}, {@link jqlora.inspect.LoraParts},
 * {@link jqlora.inspect.WeightError}, {@link jqlora.inspect.QuantizationErrors}, {@link jqlora.inspect.ModelTables},
 * {@link jqlora.inspect.TrainingChart}, {@link jqlora.inspect.TokenLengths}, {@link jqlora.inspect.MergeDiff}, {@link jqlora.inspect.UpdateSizes},
 * {@link jqlora.inspect.AdapterComparison}, {@link jqlora.inspect.CheckpointDiff}, {@link jqlora.inspect.CodeFlips},
 * {@link jqlora.inspect.WeightStats}, {@link jqlora.inspect.WeightHistogram}, {@link jqlora.inspect.WeightMap}, {@link jqlora.inspect.LayerChart},
 * {@link jqlora.inspect.ChartStyle}, {@link jqlora.inspect.ChartPage}, {@link jqlora.inspect.NumberText}.
 */
package jqlora.inspect;
