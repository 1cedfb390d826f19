/** What a key or a menu can ask for. The key map names it, a feature does it. */
export type CommandName =
  | 'search.focus'
  | 'list.next'
  | 'list.previous'
  | 'list.focus'
  | 'thread.resolve'
  | 'thread.read'
  | 'thread.focus'
  | 'composer.focus'
  | 'composer.comment'
  | 'composer.undo'
  | 'contact.toggle'
  | 'help.toggle'
  | 'settings.open'
  | 'unsent.open';

type Handler = () => void;

/**
 * Commands ties names to whoever does them now. The latest handler wins, so a
 * dialog may take a command over while it is open.
 */
export class Commands {
  private readonly handlers = new Map<CommandName, Handler[]>();
  /** How a command's key is printed, "" without one; the shell tells from its key map. */
  printed: (name: CommandName) => string = () => '';

  /** Registers a handler; call the returned function when it goes away. */
  on(name: CommandName, handler: Handler): () => void {
    const stack = this.handlers.get(name) ?? [];
    this.handlers.set(name, [...stack, handler]);
    return () => {
      this.handlers.set(name, (this.handlers.get(name) ?? []).filter((other) => other !== handler));
    };
  }

  /** Runs the command, and reports whether anybody was there to do it. */
  run(name: CommandName): boolean {
    const handler = this.handlers.get(name)?.at(-1);
    handler?.();
    return handler !== undefined;
  }
}
