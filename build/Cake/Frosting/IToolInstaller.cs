using Cake.Core.Packaging;

namespace Cake.Frosting;

/// <summary>Installs the tools a build asks for with <see cref="CakeHostExtensions.InstallTool"/>; a build may register its own.</summary>
public interface IToolInstaller
{
    /// <summary>Installs the tool, or finds it installed, and registers its files with the tool locator.</summary>
    /// <exception cref="Core.CakeException">There is no installer for the package's scheme, or it found nothing.</exception>
    void Install(PackageReference tool);
}
