// Makes a component of a JavaScript function, with the project's own componentize-js.
//
//   node build.mjs SOURCE WIT WORLD OUTPUT
//
// rolldown bundles the function with what it imports ('wasmind' is found here), since the engine reads one file;
// componentize-js makes the component. It is called as a library, since jco's own command finds no file with the
// preview2-shim it brings ("os error 44"). Of the engine's features only the standard streams are on, for the function's log.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const [source, witPath, worldName, output] = process.argv.slice(2);
const here = dirname(fileURLToPath(import.meta.url));

/** A package as the function's own project has it (or NODE_PATH, for a project that has none of its own). */
async function installed(name) {
  for (const directory of [dirname(source), ...(process.env.NODE_PATH ?? '').split(':').filter(Boolean)]) {
    try {
      return await import(pathToFileURL(resolved(name, directory)));
    } catch (error) {
      if (error.code !== 'MODULE_NOT_FOUND') throw error;
    }
  }
  console.error(`the package ${name} is not installed`);
  process.exit(3);
}

function resolved(name, directory) {
  const base = directory.endsWith('node_modules') ? join(dirname(directory), 'index.js') : join(directory, 'index.js');
  const require = createRequire(base);
  for (const path of require.resolve.paths(name) ?? []) {
    try {
      const { exports = {}, main } = require(join(path, name, 'package.json'));
      const entry = exports['.'] ?? exports;
      const file = [entry.import, entry.import?.default, entry.default, entry, main].find((each) => typeof each === 'string');
      return join(path, name, file);
    } catch (error) {
      if (error.code !== 'MODULE_NOT_FOUND') throw error;
    }
  }
  throw Object.assign(new Error(`no ${name}`), { code: 'MODULE_NOT_FOUND' });
}

const { rolldown } = await installed('rolldown');
const { componentize } = await installed('@bytecodealliance/componentize-js');
const work = await mkdtemp(join(tmpdir(), 'wasmind-'));
try {
  const bundle = await rolldown({
    input: source,
    external: /^wasi:/,
    resolve: { alias: { 'wasmind/nn': join(here, 'nn.js'), wasmind: join(here, 'index.js') } },
    platform: 'neutral',
    logLevel: 'warn',
  });
  const sourcePath = join(work, 'bundle.js');
  await bundle.write({ file: sourcePath, format: 'esm' });
  const disableFeatures = ['random', 'clocks', 'http', 'fetch-event'];
  const { component } = await componentize({ sourcePath, witPath, worldName, disableFeatures });
  await writeFile(output, component);
} catch (error) {
  console.error(error.message ?? String(error));
  process.exitCode = 1;
} finally {
  await rm(work, { recursive: true });
}
