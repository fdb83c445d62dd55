// preview2-shim 0.26.1 has no default preopen, so jco finds no file: give each copy of it the root directory.
for (const parent of ['jco-transpile', 'jco']) {
  const shim = `@bytecodealliance/${parent}/node_modules/@bytecodealliance/preview2-shim/dist/nodejs/filesystem.js`;
  try {
    const { _addPreopen } = await import(`${process.env.NODE_MODULES}/${shim}`);
    _addPreopen('/', '/');
  } catch (error) {
    if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
  }
}
