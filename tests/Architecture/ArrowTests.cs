using System.Text.RegularExpressions;
using Xunit;

namespace Architecture.Tests;

/// <summary>Which room may know which: ARCHITECTURE.md's arrows.</summary>
public sealed class ArrowTests
{
    // A room may use those that stand before it.
    private static readonly string[] VhostUserRooms = ["Protocol", "Memory", "Queues", "Devices", "Session", "Hosting"];

    [Fact]
    public void VhostUser_Rooms_KnowOnlyTheRoomsBelow()
    {
        List<string> wrong = [];
        for (int room = 0; room < VhostUserRooms.Length; room++)
        {
            foreach (string file in Tree.Sources($"src/VhostUser/{VhostUserRooms[room]}"))
            {
                wrong.AddRange(
                    from used in Tree.Usings(file)
                    let above = Array.FindIndex(VhostUserRooms, name => used == $"VhostUser.{name}")
                    where above > room
                    select $"{Tree.Relative(file)} uses {used}");
            }
        }

        Assert.Empty(wrong);
    }

    [Theory]
    [InlineData("src/LibC", @"^(VhostUser|XenMemoryProvider|Backends|XenVhostMaster|XenModel)")]
    [InlineData("src/VhostUser", @"^(XenMemoryProvider|Backends|XenVhostMaster|XenModel)")]
    [InlineData("src/XenMemoryProvider", @"^(Backends|XenVhostMaster|XenModel)")]
    [InlineData("src/XenVhostMaster", @"^(Backends|XenModel)")]
    [InlineData("src/Backends.Block", @"^(XenVhostMaster|XenModel)")]
    [InlineData("hypervisor/XenModel", @"^(Backends|XenVhostMaster)")]
    public void Project_ByItsUsings_KnowsOnlyWhatItMay(string folder, string forbidden)
    {
        List<string> wrong =
        [
            .. from file in Tree.Sources(folder)
               from used in Tree.Usings(file)
               where Regex.IsMatch(used, forbidden)
               select $"{Tree.Relative(file)} uses {used}",
        ];
        Assert.Empty(wrong);
    }

    // One binary for KVM and Xen: the choice is made in Main and nowhere else.
    [Fact]
    public void Backends_NameXen_InProgramAlone()
    {
        List<string> wrong =
        [
            .. from file in Tree.Sources("src/Backends.Block")
               where Path.GetFileName(file) != "Program.cs"
               from used in Tree.Usings(file)
               where used.StartsWith("XenMemoryProvider", StringComparison.Ordinal)
               select $"{Tree.Relative(file)} uses {used}",
        ];
        Assert.Empty(wrong);
    }

    [Fact]
    public void ControlPlane_LibraryImport_OnlyInLibC()
    {
        string[] rooms = ["src/VhostUser", "src/XenMemoryProvider", "src/XenVhostMaster", "src/Backends.Block", "hypervisor/XenModel"];
        List<string> wrong =
        [
            .. from folder in rooms
               from file in Tree.Sources(folder)
               where Regex.IsMatch(File.ReadAllText(file), @"\[(LibraryImport|DllImport)")
               select Tree.Relative(file),
        ];
        Assert.Empty(wrong);
    }
}
