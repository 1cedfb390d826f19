import {
  elementScroll,
  observeElementOffset,
  observeElementRect,
  Virtualizer,
  type VirtualItem,
} from '@tanstack/virtual-core';

/** What the rows of a scroller are. */
export interface VirtualRowsOptions {
  /** Room above the first row, px. */
  above: number;
  /** Room below the last row, px. */
  below: number;
  /** Height of the viewport until it has been measured, px. */
  viewport: number;
  /** Known heights by key; kept up to date. */
  heights: Map<string, number>;
  count: number;
  keyOf: (index: number) => string;
  estimate: (index: number) => number;
  /** After every change of what is to be drawn. */
  onchange: () => void;
}

type Report = (offset: number, scrolling: boolean) => void;

/** Rows that are drawn and in view, by their indexes. */
export interface InView {
  first: number;
  last: number;
}

/**
 * VirtualRows is the one place that knows the virtualiser: it says which rows
 * are to be drawn, where the first of them stands, and how tall everything is.
 * Rows lie in normal flow one below the other, so they can never overlap,
 * whatever their estimates were. Its changes reach Svelte in a microtask:
 * always before the next paint, never in the middle of a measurement.
 */
export class VirtualRows {
  items = $state.raw<VirtualItem[]>([]);
  total = $state(0);
  private readonly virtual: Virtualizer<HTMLElement, HTMLElement>;
  private element: HTMLElement | null = null;
  private scheduled = false;
  /** Tells the virtualiser where the scroller stands. */
  private report: Report = () => undefined;
  /** Rows drawn beyond the viewport: hardly any until the first paint is out. */
  private overscan = 1;
  /** The rows that stand in the page. */
  private inPage: readonly VirtualItem[] = [];

  constructor(private options: VirtualRowsOptions) {
    this.virtual = new Virtualizer(this.settings());
    // Rows seen before have their true height from the start.
    this.virtual.itemSizeCache = options.heights as Map<string | number | bigint, number>;
    this.publish();
  }

  private settings() {
    const o = this.options;
    return {
      count: o.count,
      getItemKey: o.keyOf,
      estimateSize: o.estimate,
      getScrollElement: () => this.element,
      scrollToFn: elementScroll,
      observeElementRect,
      observeElementOffset: (virtual: Virtualizer<HTMLElement, HTMLElement>, report: Report) => {
        this.report = report;
        return observeElementOffset(virtual, report);
      },
      initialRect: { width: 0, height: o.viewport },
      initialOffset: Number.MAX_SAFE_INTEGER,
      paddingStart: o.above,
      paddingEnd: o.below,
      overscan: this.overscan,
      anchorTo: 'end' as const,
      followOnAppend: true,
      scrollEndThreshold: 60,
      isScrollingResetDelay: 140,
      // WebKitGTK has no scrollend event: idle is the absence of scroll events.
      useScrollendEvent: false,
      // Rows that grow by themselves are handled in a frame of their own: drawing
      // more rows inside the observer's callback is an error to WebKit.
      useAnimationFrameWithResizeObserver: true,
      onChange: () => this.schedule(),
    };
  }

  /** Gives the scroller once it exists; returns what undoes it. */
  attach(element: HTMLElement): () => void {
    this.element = element;
    const unmount = this.virtual._didMount();
    this.virtual._willUpdate();
    return () => {
      unmount();
      this.element = null;
    };
  }

  /** Other rows: appended, put in above, or changed. */
  update(options: Pick<VirtualRowsOptions, 'count' | 'keyOf' | 'estimate' | 'above' | 'below'>): void {
    this.options = { ...this.options, ...options };
    this.virtual.setOptions(this.settings());
    this.publish();
  }

  /** The first paint is out: from here on rows are drawn before they are scrolled to. */
  widen(): void {
    if (this.overscan > 1) return;
    this.overscan = 8;
    this.virtual.setOptions(this.settings());
    this.publish();
  }

  /** After the rows were drawn: measures them and settles the scroll position. */
  drawn(rows: Iterable<Element>): void {
    if (!this.element) return;
    this.virtual._willUpdate();
    this.inPage = this.items;
    for (const row of rows) {
      if (!(row instanceof HTMLElement)) continue;
      this.virtual.measureElement(row);
      // While scrolling the virtualiser leaves measuring to the ResizeObserver, a
      // frame too late to draw what follows from it: here it is done at once.
      const index = this.virtual.indexFromElement(row);
      const height = row.offsetHeight;
      if (this.virtual.itemSizeCache.get(this.options.keyOf(index)) !== height) this.virtual.resizeItem(index, height);
    }
    this.virtual.measureElement(null);
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    queueMicrotask(() => {
      this.scheduled = false;
      this.publish();
    });
  }

  private publish(): void {
    const items = this.virtual.getVirtualItems();
    const total = this.virtual.getTotalSize();
    if (items !== this.items) this.items = items;
    if (total !== this.total) this.total = total;
    this.options.onchange();
  }

  /** What was measured last is not drawn yet: the scroller has still its height from before. */
  get outdated(): boolean {
    return this.scheduled;
  }

  /** The rows in view; null while what is to be in view is not drawn, and its rows only guessed. */
  get inView(): InView | null {
    const drawn = { first: this.inPage[0]?.index ?? 0, last: this.inPage.at(-1)?.index ?? -1 };
    const first = this.at(this.offset)?.index ?? -1;
    const last = this.at(this.offset + this.height - 12)?.index ?? -1;
    return first < drawn.first || first > drawn.last ? null : { first, last: Math.min(last, drawn.last) };
  }

  /** No scroll event for a while: what is above may change. */
  get idle(): boolean {
    return !this.virtual.isScrolling;
  }

  get atEnd(): boolean {
    return this.virtual.isAtEnd();
  }

  /** Position of the viewport's top, px. */
  get offset(): number {
    return this.virtual.scrollOffset ?? 0;
  }

  get height(): number {
    return this.virtual.scrollRect?.height ?? 0;
  }

  /** The row at a height of the viewport. */
  at(offset: number): VirtualItem | undefined {
    return this.virtual.getVirtualItemForOffset(offset);
  }

  toEnd(): void {
    this.virtual.scrollToEnd();
    this.sent();
  }

  toRow(index: number, align: 'start' | 'center' | 'auto'): void {
    this.virtual.scrollToIndex(index, { align });
    this.sent();
  }

  toOffset(offset: number): void {
    this.virtual.scrollToOffset(offset);
    this.sent();
  }

  /**
   * The scroll event comes a frame late, and not at all where nothing can
   * scroll. Until then rows would count as in view that are not.
   */
  private sent(): void {
    if (this.element) this.report(this.element.scrollTop, this.virtual.isScrolling);
  }

  /** Where a row begins, px. */
  startOf(index: number): number {
    return this.virtual.getOffsetForIndex(index, 'start')?.[0] ?? 0;
  }
}
