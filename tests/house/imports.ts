// What a module depends on, read from its syntax tree: every way TypeScript and Node have of naming another module.
// Owns the finding of imports and the resolution of relative ones to repository paths.
// Never judges an import: that is for the arrows.

import { posix } from 'node:path';
import ts from 'typescript';
import { type SourceFile, scriptText } from './sources.ts';

/** One dependency of a module. */
export interface Import {
  /** As written; null where it is computed at run time, so nobody can tell. */
  specifier: string | null;
  /** The repository path a relative specifier names, or null for a package, a `node:` module or a computed one. */
  path: string | null;
  /** True if only types are taken: the import is gone at run time. */
  typeOnly: boolean;
  /** 1-based. */
  line: number;
}

/**
 * Every import of a file: static, `import type`, re-exports, `import x = require()`, `import()` as an expression and
 * as a type, `require()`, and `new URL(specifier, import.meta.url)`, the way workers and assets are named.
 */
export function importsOf(file: SourceFile): Import[] {
  const source = ts.createSourceFile(file.path, scriptText(file), ts.ScriptTarget.Latest, true, ts.ScriptKind.TS);
  const imports: Import[] = [];
  const add = (node: ts.Node, specifier: ts.Node | undefined, typeOnly: boolean): void => {
    const text = specifier !== undefined && ts.isStringLiteralLike(specifier) ? specifier.text : null;
    const line = source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1;
    imports.push({ specifier: text, path: text === null ? null : resolve(file.path, text), typeOnly, line });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) {
      add(node, node.moduleSpecifier, isTypeOnlyImport(node.importClause));
    } else if (ts.isExportDeclaration(node) && node.moduleSpecifier !== undefined) {
      add(node, node.moduleSpecifier, node.isTypeOnly || allTypes(node.exportClause));
    } else if (ts.isImportEqualsDeclaration(node) && ts.isExternalModuleReference(node.moduleReference)) {
      add(node, node.moduleReference.expression, node.isTypeOnly);
    } else if (ts.isImportTypeNode(node)) {
      add(node, ts.isLiteralTypeNode(node.argument) ? node.argument.literal : undefined, true);
    } else if (ts.isCallExpression(node) && isModuleCall(node)) {
      add(node, node.arguments[0], false);
    } else if (ts.isNewExpression(node) && isModuleUrl(node)) {
      add(node, node.arguments?.[0], false);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return imports;
}

function isTypeOnlyImport(clause: ts.ImportClause | undefined): boolean {
  if (clause === undefined) return false;
  if (clause.phaseModifier === ts.SyntaxKind.TypeKeyword) return true;
  return clause.name === undefined && clause.namedBindings !== undefined && allTypes(clause.namedBindings);
}

/** `{ type A, type B }`: under verbatimModuleSyntax such an import still loads the module, unless nothing is left. */
function allTypes(clause: ts.NamedImportBindings | ts.NamedExportBindings | undefined): boolean {
  if (clause === undefined || !(ts.isNamedImports(clause) || ts.isNamedExports(clause))) return false;
  return clause.elements.length > 0 && clause.elements.every((element) => element.isTypeOnly);
}

function isModuleCall(call: ts.CallExpression): boolean {
  if (call.expression.kind === ts.SyntaxKind.ImportKeyword) return true;
  if (ts.isIdentifier(call.expression)) return call.expression.text === 'require' && call.arguments.length > 0;
  return ts.isPropertyAccessExpression(call.expression) && call.expression.getText() === 'import.meta.resolve';
}

function isModuleUrl(created: ts.NewExpression): boolean {
  return (
    ts.isIdentifier(created.expression) &&
    created.expression.text === 'URL' &&
    created.arguments?.[1]?.getText() === 'import.meta.url'
  );
}

function resolve(from: string, specifier: string): string | null {
  if (!specifier.startsWith('.')) return null;
  // A bundler's query, such as `./style.css?url`, is no part of the path.
  return posix.normalize(posix.join(posix.dirname(from), specifier.replace(/\?.*$/, '')));
}
