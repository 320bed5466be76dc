/**
 * What a notebook sees: {@link jqlora.notebook.Qlora}, the front door; tables, charts, arrays and our own types as HTML, picture
 * and text; progress bars and live charts that replace themselves in one output. Everything also works on the command line, as
 * text, and in a stock JJava kernel, which finds {@link jqlora.notebook.NotebookExtension} by itself.
 *
 * <p>May import: every room but kernel and cli. With {@code kernel}, the only place for jjava-jupyter.
 * <p>Read in this order: {@link jqlora.notebook.Qlora}, {@link jqlora.notebook.Displayable}, {@link jqlora.notebook.Rendered},
 * {@link jqlora.notebook.Display}, {@link jqlora.notebook.Screen}, {@link jqlora.notebook.Tables}, {@link jqlora.notebook.Training}.
 *
 * <p>Outputs need no JavaScript, no style sheet and no widget: they read the same in JupyterLab, VS Code, GitHub and nbviewer, on
 * light pages and on dark ones.
 */
package jqlora.notebook;
