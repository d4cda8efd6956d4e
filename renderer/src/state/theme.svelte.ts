// Light, dark, or whatever the system is.
// Owns the choice and where it is remembered (this browser's local storage).
// Never names a colour; those are in styles/tokens.css.

export const themes = ['system', 'light', 'dark'] as const;
export type Theme = (typeof themes)[number];
const KEY = 'trivisor.theme';

class ThemeChoice {
  choice = $state<Theme>('system');
  /** Changes whenever the colours do, so that a canvas knows when to draw anew. */
  revision = $state(0);

  constructor() {
    const stored = themes.find((theme) => theme === localStorage.getItem(KEY));
    this.apply(stored ?? 'system');
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.revision++);
    // Consoles are windows of their own: they follow a change made in another one.
    addEventListener('storage', ({ key, newValue }) => {
      if (key === KEY) this.apply(themes.find((theme) => theme === newValue) ?? 'system');
    });
  }

  /** Applies and remembers. */
  set(theme: Theme): void {
    localStorage.setItem(KEY, theme);
    this.apply(theme);
  }

  private apply(theme: Theme): void {
    this.choice = theme;
    if (theme === 'system') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    this.revision++;
  }
}

export const theme = new ThemeChoice();

/** The present value of a colour token, as a canvas understands it. */
export function color(token: string): string {
  const probe = document.createElement('span');
  probe.style.color = `var(${token})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}
