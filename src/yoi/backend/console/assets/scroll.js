// Keeps a reader's place while the page grows, and follows the end for who stands at the end.

const NEAR = 40;

/** A scrolled pane whose newest line is the last. `changed()` hears when `following` changes. */
export class Follow {
  constructor(pane, list, changed) {
    this.pane = pane;
    this.following = true;
    this._list = list;
    this._changed = changed;
    pane.addEventListener("scroll", () => this._look(), { passive: true });
    // What a reader opens must not be scrolled away under them.
    pane.addEventListener("toggle", () => this._look(), true);
    this._sizes = new ResizeObserver(() => this.following && this.toEnd());
    this._sizes.observe(pane);
  }

  /** Lets go of the pane. */
  close() {
    this._sizes.disconnect();
  }

  /** Changes the page by `update`; the reader goes on reading the same line. */
  around(update) {
    if (this.following) {
      update();
      this.toEnd();
    } else {
      keepPlace(this.pane, this._list, update);
    }
  }

  /** Goes to the newest line and stays with it. */
  toEnd() {
    this.pane.scrollTop = this.pane.scrollHeight;
    this._set(true);
  }

  _look() {
    const { scrollHeight, scrollTop, clientHeight } = this.pane;
    this._set(scrollHeight - scrollTop - clientHeight < NEAR);
  }

  _set(following) {
    if (following === this.following) return;
    this.following = following;
    this._changed();
  }
}

/** Changes the page by `update` and keeps the first visible child of `list` where it was. */
export function keepPlace(pane, list, update) {
  const top = pane.getBoundingClientRect().top;
  const anchor = [...list.children].find((row) => row.getBoundingClientRect().bottom > top);
  const before = anchor?.getBoundingClientRect().top;
  update();
  if (anchor?.isConnected) pane.scrollTop += anchor.getBoundingClientRect().top - before;
}
