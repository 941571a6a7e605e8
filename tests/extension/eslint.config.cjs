// The rules that TurboWarp's gallery has for extensions, as far as a linter can check them.
const js = require('@eslint/js');
const globals = require('globals');

const isMember = (node, object, property) =>
  node.type === 'MemberExpression' && node.object.name === object && node.property.name === property;
const isTranslate = (node) => isMember(node, 'Scratch', 'translate');

/** A rule that reports what `check` finds in nodes of one kind. */
const rule = (kind, check) => ({
  create: (context) => ({
    [kind](node) {
      const message = check(node, context);
      if (message) context.report({node, message});
    },
  }),
});

const HEADER = {
  Name: /\S/,
  ID: /^[a-z0-9]+$/,
  Description: /[.!?]$/,
  By: /\S/,
  License: /^[A-Za-z0-9.-]+$/,
};

const rules = {
  'header': rule('Program', (program, {sourceCode}) => {
    const lines = sourceCode.getText().split('\n');
    const end = lines.findIndex((line) => !line.startsWith('//'));
    const found = Object.fromEntries(lines.slice(0, end).map((line) => line.slice(3).split(/: (.*)/)));
    const wrong = Object.keys(HEADER).filter((key) => !HEADER[key].test(found[key] || ''));
    const strange = Object.keys(found).filter((key) => !(key in HEADER));
    return wrong.length + strange.length > 0 && `These lines at the top are wrong: ${[...wrong, ...strange]}`;
  }),
  'one-function': rule('Program', ({body}) => {
    const call = body.length === 1 && body[0].type === 'ExpressionStatement' && body[0].expression;
    const isRight = call && call.type === 'CallExpression' && call.callee.type === 'FunctionExpression' &&
      call.arguments.length === 1 && call.arguments[0].name === 'Scratch';
    return !isRight && 'The file is one function that is called with Scratch, and nothing else.';
  }),
  'check-can-fetch': rule('NewExpression', ({callee}) =>
    ['WebSocket', 'Image', 'Audio'].includes(callee.name) && 'Ask Scratch.canFetch() first.'),
  'translate-texts': rule('CallExpression', (node) => {
    if (!isTranslate(node.callee)) return false;
    const [text] = node.arguments;
    const isLiteral = text && text.type === 'Literal' && typeof text.value === 'string';
    return (!isLiteral || node.arguments.length !== 1) && 'Only a literal text can be translated.';
  }),
  'no-translate-alias': rule('MemberExpression', (node) => {
    if (isMember(node.object, 'Scratch', 'translate')) return 'Scratch.translate has no setup here.';
    const {parent} = node;
    const isCalled = parent.type === 'CallExpression' && parent.callee === node;
    const isProvided = parent.type === 'AssignmentExpression' && parent.left === node;
    return isTranslate(node) && !isCalled && !isProvided && 'Call Scratch.translate by its name.';
  }),
};

module.exports = [
  js.configs.recommended,
  {
    plugins: {extension: {rules}},
    languageOptions: {
      ecmaVersion: 2022,
      sourceType: 'script',
      globals: {...globals['shared-node-browser'], ...globals.browser, Scratch: 'readonly'},
    },
    linterOptions: {reportUnusedDisableDirectives: 'error'},
    rules: {
      ...Object.fromEntries(Object.keys(rules).map((name) => [`extension/${name}`, 'error'])),
      'no-unused-vars': ['error', {args: 'after-used', caughtErrorsIgnorePattern: '^_'}],
      'no-restricted-globals': ['error', 'fetch', 'XMLHttpRequest', 'vm', 'open', 'alert', 'confirm', 'prompt', 'eval'],
      'no-restricted-properties': ['error', {object: 'Object', property: 'hasOwn'},
        {object: 'window', property: 'open'}, {object: 'window', property: 'vm'}, {object: 'window', property: 'fetch'}],
      'no-restricted-syntax': ['error', 'AssignmentExpression[operator="??="]'],
      'no-mixed-operators': ['error', {groups: [['&&', '||']]}],
      'no-self-compare': 'error',
      'no-unreachable-loop': 'error',
      'no-eval': 'error',
      'no-implied-eval': 'error',
      'no-new-func': 'error',
      'no-script-url': 'error',
      'require-await': 'error',
      'strict': ['error', 'function'],
      'eqeqeq': 'error',
      'prefer-const': 'error',
    },
  },
];
