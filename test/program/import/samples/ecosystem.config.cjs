console.log('A configuration may print.')
module.exports = {
  apps: ['one', 'two'].map((name, index) => ({
    name,
    script: 'app.js',
    env: { PORT: 3000 + index },
    stop_exit_codes: [index],
    increment_var: () => 'PORT',
  })),
}
