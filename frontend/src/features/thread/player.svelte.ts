import { t } from '../../domain/messages';

/** How many fetched sounds and films stay in memory. */
const keptBlobs = 12;

/**
 * Player plays one sound at a time. Media elements of WebKitGTK cannot read
 * the program's own address scheme, so the bytes are fetched and handed over
 * as a blob.
 */
export class Player {
  /** Which part is loaded: its file's hash and its message. */
  key = $state('');
  playing = $state(false);
  loading = $state(false);
  /** Seconds. */
  position = $state(0);
  length = $state(0);
  rate = $state(1);
  /** Why it does not play. */
  failed = $state('');
  private readonly blobs = new Map<string, string>();
  private audio: HTMLAudioElement | null = null;

  /** Starts, pauses or resumes a sound. */
  async toggle(key: string, url: string): Promise<void> {
    if (this.key === key && this.audio && this.failed === '') {
      if (this.playing) this.audio.pause();
      else await this.audio.play().catch(() => this.fail(key));
      return;
    }
    await this.start(key, url);
  }

  private async start(key: string, url: string): Promise<void> {
    this.audio?.pause();
    this.key = key;
    this.position = 0;
    this.failed = '';
    this.playing = false;
    this.loading = true;
    try {
      const source = await this.blob(url);
      if (this.key !== key) return;
      const audio = this.element();
      audio.src = source;
      audio.playbackRate = this.rate;
      await audio.play();
    } catch {
      this.fail(key);
    } finally {
      if (this.key === key) this.loading = false;
    }
  }

  private fail(key: string): void {
    if (this.key !== key) return;
    this.playing = false;
    this.failed = t('thread.unplayable');
  }

  /** Jumps to a share of the sound, 0 to 1. */
  seek(key: string, share: number): void {
    if (this.key !== key || !this.audio || !Number.isFinite(this.audio.duration)) return;
    this.audio.currentTime = Math.min(1, Math.max(0, share)) * this.audio.duration;
  }

  /** 1×, 1.5×, 2×, and again. */
  faster(): void {
    this.rate = this.rate === 1 ? 1.5 : this.rate === 1.5 ? 2 : 1;
    if (this.audio) this.audio.playbackRate = this.rate;
  }

  stop(): void {
    this.audio?.pause();
    this.key = '';
    this.playing = false;
  }

  /** The bytes of a file as an address media elements can read. */
  async blob(url: string): Promise<string> {
    const have = this.blobs.get(url);
    if (have) {
      this.blobs.delete(url);
      this.blobs.set(url, have);
      return have;
    }
    const response = await fetch(url);
    if (!response.ok) throw new Error(`file: ${response.status}`);
    const made = URL.createObjectURL(await response.blob());
    this.blobs.set(url, made);
    for (const [old, address] of this.blobs) {
      if (this.blobs.size <= keptBlobs) break;
      if (address === this.audio?.src) continue;
      URL.revokeObjectURL(address);
      this.blobs.delete(old);
    }
    return made;
  }

  dispose(): void {
    this.stop();
    for (const address of this.blobs.values()) URL.revokeObjectURL(address);
    this.blobs.clear();
  }

  private element(): HTMLAudioElement {
    if (this.audio) return this.audio;
    const audio = new Audio();
    audio.addEventListener('timeupdate', () => {
      this.position = audio.currentTime;
    });
    audio.addEventListener('durationchange', () => {
      this.length = Number.isFinite(audio.duration) ? audio.duration : 0;
    });
    audio.addEventListener('play', () => {
      this.playing = true;
    });
    audio.addEventListener('pause', () => {
      this.playing = false;
    });
    audio.addEventListener('ended', () => {
      this.playing = false;
      this.position = 0;
    });
    this.audio = audio;
    return audio;
  }
}
