package jqlora.notebook;

import java.util.ArrayList;
import java.util.List;

/** Keeps what it is asked to show. */
final class RecordingScreen implements Screen {
    final List<String> shown = new ArrayList<>();
    final List<Rendered> contents = new ArrayList<>();
    final List<Runnable> atCellEnd = new ArrayList<>();

    @Override
    public synchronized void show(Rendered content) {
        add("show ", content);
    }

    @Override
    public synchronized void open(String id, Rendered content) {
        add("open ", content);
    }

    @Override
    public synchronized void update(String id, Rendered content, boolean last) {
        add(last ? "last " : "update ", content);
    }

    @Override
    public synchronized void clear() {
        shown.add("clear");
    }

    @Override
    public synchronized void atCellEnd(Runnable action) {
        atCellEnd.add(action);
    }

    private void add(String how, Rendered content) {
        shown.add(how + content.text());
        contents.add(content);
    }

    synchronized List<String> shown() {
        return List.copyOf(shown);
    }
}
