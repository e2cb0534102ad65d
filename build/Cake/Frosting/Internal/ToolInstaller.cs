using Cake.Core.Packaging;

namespace Cake.Frosting.Internal;

/// <summary>Leaves the work to the engine's installer.</summary>
internal sealed class ToolInstaller(Core.Tooling.IToolInstaller installer) : IToolInstaller
{
    // The engine's installer works only as far as its result is read.
    public void Install(PackageReference tool) => _ = installer.Install(tool).ToArray();
}
