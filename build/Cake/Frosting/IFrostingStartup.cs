using Microsoft.Extensions.DependencyInjection;

namespace Cake.Frosting;

/// <summary>Registers a build's services apart from its <c>Program</c>.</summary>
public interface IFrostingStartup
{
    void Configure(IServiceCollection services);
}
