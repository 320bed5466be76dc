/**
 * Looking at weights and runs: Tablesaw tables and XChart figures.
 *
 * <p>May import: tensor, quant, format, lora, train. With {@code notebook}, the only place for Tablesaw and XChart.
 * <p>Read in this order: {@link jqlora.inspect.ChartStyle}.
 */
package jqlora.inspect;
