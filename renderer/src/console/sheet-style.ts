// Lets xterm.js style itself under a security policy that forbids inline style elements.
// Owns the style sheets that stand for the terminal's style elements.
// Never loosens the policy: sheets made by the page's own script are within it.

/**
 * Runs `build`. Where it creates a style element it gets an inert one instead, whose text goes to a constructed style
 * sheet, which the policy `style-src 'self'` allows.
 */
export function withSheetStyles(build: () => void): void {
  const create = document.createElement;
  document.createElement = ((name: string, options?: ElementCreationOptions) =>
    name === 'style' ? sheetElement() : create.call(document, name, options)) as typeof document.createElement;
  try {
    build();
  } finally {
    document.createElement = create;
  }

  function sheetElement(): HTMLElement {
    const sheet = new CSSStyleSheet();
    document.adoptedStyleSheets.push(sheet);
    let text = '';
    return Object.defineProperty(create.call(document, 'template'), 'textContent', {
      get: () => text,
      set(value: string | null) {
        text = value ?? '';
        sheet.replaceSync(text);
      },
    });
  }
}
