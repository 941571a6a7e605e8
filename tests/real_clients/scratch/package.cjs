// Packages a Scratch project with TurboWarp's packager into one HTML page that plays by itself.
// Arguments: the .sb3 file, the page to write, the project's id and the address of its cloud host.
const fs = require('fs');
const Packager = require('@turbowarp/packager');

const [project, page, projectId, cloudHost] = process.argv.slice(2);

(async () => {
  const packager = new Packager.Packager();
  packager.project = await Packager.loadProject(fs.readFileSync(project));
  packager.options.autoplay = true;
  packager.options.extensions = packager.project.analysis.extensions;
  packager.options.projectId = projectId;
  packager.options.username = 'player####';
  packager.options.cloudVariables.mode = 'ws';
  packager.options.cloudVariables.cloudHost = cloudHost;
  fs.writeFileSync(page, (await packager.package()).data);
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
